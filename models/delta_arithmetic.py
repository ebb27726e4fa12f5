# SPDX-License-Identifier: Apache-2.0
"""The difference of two tensors that adds up again to the last bit.

`add` computes in float64, rounds to float32 and then to the tuned model's dtype
(as PyTorch does, so that others can apply a delta). A few elements cannot come
back that way in any dtype: -0.0 from another value, or 1e-30 from 1. They are
*exceptions*: their difference is 0 and their tuned value is kept as it is.
"""

from collections.abc import Iterator

import numpy as np

from ramjax.models import tensors
from ramjax.models.tensors import TensorSpec

_INTEGERS = {2: np.uint16, 4: np.uint32, 8: np.uint64}


def candidates(dtype: str) -> tuple[str, ...]:
  """Dtypes that a delta may have, smallest first, for a tuned tensor's dtype."""
  return tuple(dict.fromkeys((dtype, "float32", "float64")))


def blocks(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
  """Row ranges whose float64 copies have the size of a block."""
  return tensors.blocks(TensorSpec(shape, "float64"))


def add(base: np.ndarray, delta: np.ndarray, dtype: str) -> np.ndarray:
  """The tuned weights, exceptions aside."""
  total = base.astype(np.float64) + delta.astype(np.float64)
  # What overflows is not what was subtracted; the caller compares bits.
  with np.errstate(over="ignore"):
    return total.astype(np.float32).astype(np.dtype(dtype), copy=False)


def subtract(
  tuned: np.ndarray, base: np.ndarray, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
  """The difference in a dtype, and where it does not lead back.

  Args:
    tuned: Of any floating dtype.
    base: Of the same shape.
    dtype: Of the difference.

  Returns:
    The difference, 0 at the exceptions; and a mask of the exceptions.
  """
  # An overflow leads to an exception, as do NaN, which `tensors.copy` refuses.
  with np.errstate(over="ignore", invalid="ignore"):
    exact = tuned.astype(np.float64) - base.astype(np.float64)
    delta = exact.astype(np.dtype(dtype))
    # x - x is +0.0, which would turn -0.0 into +0.0.
    same = exact == 0
    delta[same] = np.copysign(np.zeros_like(exact[same]), tuned[same])
    again = add(base, delta, tuned.dtype.name)
  failed = _bits(again) != _bits(tuned)
  delta[failed] = 0
  return delta, failed


def _bits(values: np.ndarray) -> np.ndarray:
  values = np.ascontiguousarray(values)
  return values.view(_INTEGERS[values.dtype.itemsize])
