# SPDX-License-Identifier: Apache-2.0
"""The k-th largest magnitude of a stream of float32 values, exactly.

Without their sign, float32 values order as their bits do, read as integers. So
two passes find it, one with a histogram of the upper 16 bits and one with a
histogram of the lower 16 among the values whose upper bits are those found:
512 KB, however many values there are.
"""

from collections.abc import Callable, Iterable

import numpy as np

_BINS = 2**16


def kth_largest(
  values: Callable[[], Iterable[np.ndarray]], k: int
) -> np.float32:
  """The k-th largest magnitude.

  Args:
    values: Gives the values, as blocks of float32 of any shape; called twice.
    k: From 1 to their number.

  Returns:
    A magnitude. At least k values reach it, and fewer than k exceed it.
  """
  counts = np.zeros(_BINS, np.int64)
  for block in values():
    counts += np.bincount((_bits(block) >> 16), minlength=_BINS)
  upper, above = _find(counts, k)
  counts[:] = 0
  for block in values():
    bits = _bits(block)
    chosen = bits[bits >> 16 == upper] & (_BINS - 1)
    counts += np.bincount(chosen, minlength=_BINS)
  lower, _ = _find(counts, k - above)
  return np.uint32(upper << 16 | lower).view(np.float32)


def _find(counts: np.ndarray, k: int) -> tuple[int, int]:
  """The bin of the k-th largest value, and how many are in the bins above."""
  from_top = np.cumsum(counts[::-1])
  index = int(np.searchsorted(from_top, k))
  return _BINS - 1 - index, int(from_top[index] - counts[_BINS - 1 - index])


def _bits(block: np.ndarray) -> np.ndarray:
  bits = np.ascontiguousarray(block).view(np.uint32).ravel()
  return bits & np.uint32(0x7FFF_FFFF)
