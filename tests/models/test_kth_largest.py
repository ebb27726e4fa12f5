# SPDX-License-Identifier: Apache-2.0
"""The k-th largest magnitude is exact, ties and zeros included."""

import numpy as np
import pytest

from ramjax.models import kth_largest


def _find(values, k, num_blocks=1):
  blocks = np.array_split(np.asarray(values, np.float32), num_blocks)
  return kth_largest.kth_largest(lambda: iter(blocks), k)


@pytest.mark.parametrize(
  ("k", "expected"), [(1, 5.0), (2, 3.0), (3, 3.0), (4, 0.5), (5, 0.0)]
)
def test_magnitudes_are_counted_with_their_ties(k, expected):
  assert _find([3.0, -5.0, -0.0, -3.0, 0.5], k) == expected


def test_values_that_differ_in_the_last_bit_are_told_apart():
  one = np.float32(1)
  above = np.nextafter(one, np.float32(2))
  assert _find([one, -above, one], 1) == above
  assert _find([one, -above, one], 2) == one


@pytest.mark.parametrize("num_blocks", [1, 7])
@pytest.mark.parametrize("kind", ["normal", "ties", "zeros", "wide"])
def test_it_agrees_with_a_partition_of_all_values(kind, num_blocks):
  rng = np.random.default_rng(3)
  values = rng.standard_normal((50, 41))
  if kind == "ties":
    values = np.round(values, 1)
  if kind == "zeros":
    values[rng.random(values.shape) < 0.7] = -0.0
  if kind == "wide":
    values = values * 10.0 ** rng.integers(-44, 37, values.shape)
  values = values.astype(np.float32)
  magnitudes = np.abs(values).ravel()
  for k in (1, 2, 17, 410, 1025, magnitudes.size - 1, magnitudes.size):
    place = magnitudes.size - k
    expected = np.partition(magnitudes, place)[place]
    found = _find(values, k, num_blocks)
    assert found.dtype == np.float32
    assert found.tobytes() == expected.tobytes(), k
