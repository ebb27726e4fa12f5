# SPDX-License-Identifier: Apache-2.0
"""Whether an error says that a device, or another process of the run, is gone."""

import re

import jax

# What absl's status codes say of a peer or a device that is gone. INTERNAL,
# UNIMPLEMENTED and INVALID_ARGUMENT, as a compiler's, would come again.
_GONE = re.compile(
  "(UNAVAILABLE|ABORTED|DEADLINE_EXCEEDED|DATA_LOSS|CANCELLED)\\b"
)
# Theirs come as INTERNAL, UNKNOWN or FAILED_PRECONDITION, in other words around.
_CONNECTIONS = re.compile(
  r"(INTERNAL|UNKNOWN|FAILED_PRECONDITION)\b.*(Gloo|NCCL)", re.DOTALL
)


def is_lost(error: BaseException | None) -> bool:
  """Whether JAX said so, in an error or in what caused it."""
  while error is not None:
    if isinstance(error, jax.errors.JaxRuntimeError):
      said = str(error)
      return bool(_GONE.match(said) or _CONNECTIONS.match(said))
    # A save fails of it, too. What was only being handled when something else
    # failed (`__context__`) is no reason of that.
    error = error.__cause__
  return False
