# SPDX-License-Identifier: Apache-2.0
"""Accuracy of pairs: ties, calibration by hand, subsets."""

import numpy as np
import pytest

from ramjax.data.wilson import wilson_interval
from ramjax.evals import pair_accuracy


def test_accuracy_by_hand_with_a_tie():
  margins = np.array([2.0, -1.0, 0.0, 0.5], np.float32)
  found = pair_accuracy.pair_accuracy(margins, ["a", "a", "b", "b"])
  assert found["accuracy"] == 2.5 / 4
  assert found["accuracy/a"] == 0.5 and found["accuracy/b"] == 0.75
  low, high = wilson_interval(2.5, 4)
  assert (found["accuracy_low"], found["accuracy_high"]) == (low, high)
  assert low < 2.5 / 4 < high


def test_one_subset_is_not_named():
  found = pair_accuracy.pair_accuracy(np.ones(3), ["a"] * 3)
  assert not any(name.startswith("accuracy/") for name in found)
  assert found["accuracy"] == 1.0 and found["accuracy_high"] == 1.0


def test_no_pairs_have_no_accuracy():
  assert pair_accuracy.pair_accuracy(np.zeros(0), []) == {}


def test_margins_that_mean_what_they_say_are_calibrated():
  # log 3 says 0.75, and three of four are right; log 19 says 0.95, of 20.
  margins = np.log([3.0] * 3 + [1 / 3] + [19.0] * 19 + [1 / 19])
  found = pair_accuracy.calibration(margins)
  assert found.pop("calibration_error") == pytest.approx(0, abs=1e-12)
  assert found == {
    "calibration/0.7-0.8": 0.75,
    "calibration/0.9-1.0": 0.95,
  }


def test_calibration_error_by_hand():
  # Sure to 0.95 and right once in two; sure to 0.75 and right always: gaps of
  # 0.45 and 0.25, the first of two pairs in six.
  margins = np.log([19.0, 1 / 19, 3.0, 3.0, 3.0, 3.0])
  found = pair_accuracy.calibration(margins)
  expected = 0.45 * 2 / 6 + 0.25 * 4 / 6
  assert found["calibration_error"] == pytest.approx(expected)


def test_ties_are_calibrated_and_huge_margins_finite():
  found = pair_accuracy.calibration(np.zeros(5))
  assert found == {"calibration_error": 0.0, "calibration/0.5-0.6": 0.5}
  found = pair_accuracy.calibration(np.array([1e30, -np.inf], np.float32))
  assert found == {"calibration_error": 0.5, "calibration/0.9-1.0": 0.5}


def test_bins_tell_how_many_pairs_they_hold():
  margins = np.log([3.0, 3.0, 1 / 3, 19.0]).astype(np.float64)
  found = pair_accuracy.calibration_bins(margins)
  assert [(b.low, b.high, b.pairs) for b in found] == [
    (0.7, 0.8, 3),
    (0.9, 1.0, 1),
  ]
  assert [b.accuracy for b in found] == [2 / 3, 1.0]
  np.testing.assert_allclose([b.confidence for b in found], [0.75, 0.95])
  assert pair_accuracy.calibration_bins(np.zeros(0)) == []


def test_a_margin_is_right_wrong_or_a_tie():
  right = pair_accuracy.is_right(np.array([0.1, -0.0, -3.0]))
  assert right.tolist() == [1.0, 0.5, 0.0]
