# SPDX-License-Identifier: Apache-2.0
"""Shape annotations that are enforced, once, when a function is traced."""

from collections.abc import Callable
from typing import TypeVar, cast

import beartype
import jaxtyping

_F = TypeVar("_F", bound=Callable)


def shape_checked(function: _F) -> _F:
  """Checks `function`'s jaxtyping annotations on each call or trace.

  A `[3, 1]` array where `[3]` is declared is an error that names the argument
  and both shapes; unchecked, it would broadcast and train on nonsense. Inside
  `jax.jit` the cost is at trace time only.
  """
  checked = jaxtyping.jaxtyped(function, typechecker=beartype.beartype)
  return cast(_F, checked)
