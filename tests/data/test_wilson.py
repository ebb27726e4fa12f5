# SPDX-License-Identifier: Apache-2.0
"""Wilson's interval: published values, the test that it inverts, its ends."""

import math

import numpy as np
import pytest

from ramjax.data.wilson import wilson_interval


def test_interval_of_eight_in_ten():
  # z = 1.96: (0.8 + 0.19207) / 1.38415 -+ 1.96 / 1.38415 * sqrt(0.016 + 0.0096)
  low, high = wilson_interval(8, 10)
  assert low == pytest.approx(0.4902, abs=1e-4)
  assert high == pytest.approx(0.9433, abs=1e-4)


# Newcombe 1998, Statistics in Medicine 17:857, table I, method 3.
@pytest.mark.parametrize(
  ("right", "total", "low", "high"),
  [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
  ],
)
def test_intervals_are_the_published_ones(right, total, low, high):
  found = wilson_interval(right, total)
  np.testing.assert_allclose(found, (low, high), atol=5e-5)
  # Wrong answers are right ones seen from the other side.
  mirrored = wilson_interval(total - right, total)
  np.testing.assert_allclose(mirrored, (1 - high, 1 - low), atol=5e-5)


@pytest.mark.parametrize(("right", "total"), [(0, 1), (7, 10), (3.5, 9)])
def test_the_interval_holds_the_shares_that_a_score_test_accepts(right, total):
  # Its ends are the shares p that lie 1.96 of their own deviations away.
  for p in wilson_interval(right, total):
    if 0 < p < 1:
      deviation = math.sqrt(p * (1 - p) / total)
      assert abs(abs(right / total - p) / deviation - 1.959964) < 1e-5


@pytest.mark.parametrize("right", [0, 2.5, 4])
@pytest.mark.parametrize("total", [4, 7, 1000])
def test_the_interval_holds_the_share_and_stays_within_shares(right, total):
  low, high = wilson_interval(right, total)
  assert 0 <= low <= right / total <= high <= 1
