# SPDX-License-Identifier: Apache-2.0
"""Sums over a response's tokens, left as they are or divided by its length."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.shapes import shape_checked

_REDUCTIONS = ("sum", "mean")


@shape_checked
def reduce_by_length(
  sums: Float[Array, " N"], lengths: Int[Array, " N"], **reduction: str
) -> Float[Array, " N"]:
  """The sums themselves, or the means over each response's own tokens.

  Args:
    sums: [N] of something summed over a response's tokens.
    lengths: [N] tokens of each response; 0 in padding rows, which count as 1.
    **reduction: One hyperparameter by its name, "sum" or "mean".

  Returns:
    [N] float32.

  Raises:
    ValueError: The hyperparameter is neither "sum" nor "mean".

  Example:
    >>> import jax.numpy as jnp
    >>> means = reduce_by_length(jnp.array([-6.0, 0.0]), jnp.array([3, 0]),
    ...                          logp_reduction="mean")
    >>> means.tolist()
    [-2.0, 0.0]
  """
  ((name, value),) = reduction.items()
  if value not in _REDUCTIONS:
    raise ValueError(f"{name}={value!r} must be one of {_REDUCTIONS}.")
  if value == "sum":
    return sums
  return pairwise.length_mean(sums, lengths)
