# SPDX-License-Identifier: Apache-2.0
"""Running moments: the same as of all values at once, and kept exactly."""

import json

import numpy as np
import pytest

from ramjax.evals.running_moments import RunningMoments


def test_parts_give_the_moments_of_the_whole():
  values = np.random.default_rng(0).normal(5.0, 3.0, 1000)
  moments = RunningMoments()
  for part in np.split(values, [0, 1, 2, 500, 990]):
    moments = moments.update(part)
  assert moments.count == 1000
  assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
  assert moments.variance == pytest.approx(values.var(), rel=1e-12)


def test_a_large_offset_does_not_drown_the_variance():
  moments = RunningMoments().update(np.array([1e8, 1e8 + 2])).update([1e8 + 4])
  # Distances -2, 0, 2: the mean of their squares is 8 / 3.
  assert moments.variance == pytest.approx(8 / 3, rel=1e-9)


def test_json_keeps_every_bit():
  moments = RunningMoments().update(np.array([0.1, 0.2, 1 / 3]))
  kept = RunningMoments.from_json(json.loads(json.dumps(moments.to_json())))
  assert kept == moments
  more = np.array([1e-17, 3.0])
  assert kept.update(more) == moments.update(more)


def test_values_are_centred_scaled_and_clipped():
  moments = RunningMoments().update(np.array([1.0, 3.0]))
  normal = moments.normalise(np.array([[2.0], [4.0], [-9.0]]), clip=5.0)
  assert normal.dtype == np.float32
  np.testing.assert_array_equal(normal, [[0.0], [2.0], [-5.0]])
  assert moments.normalise(np.array([-9.0]), clip=None)[0] == -11


def test_without_a_spread_only_the_mean_is_taken_off():
  moments = RunningMoments().update(np.array([2.0, 2.0]))
  np.testing.assert_array_equal(moments.normalise([3.0], clip=None), [1.0])
  np.testing.assert_array_equal(RunningMoments().normalise([3.0], None), [3.0])


def test_what_is_not_finite_is_refused():
  with pytest.raises(ValueError, match=r"values\[1\] is not finite"):
    RunningMoments().update(np.array([1.0, np.nan]))


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_a_clip_that_leaves_nothing_is_refused(clip):
  with pytest.raises(ValueError, match="clip="):
    RunningMoments().normalise(np.zeros(1), clip)


@pytest.mark.parametrize(
  "value",
  [
    None,
    {},
    {"count": 1.0, "mean": 0.0, "squares": 0.0},
    {"count": True, "mean": 0.0, "squares": 0.0},
    {"count": -1, "mean": 0.0, "squares": 0.0},
    {"count": 1, "mean": float("nan"), "squares": 0.0},
    {"count": 1, "mean": 0.0, "squares": -1.0},
    {"count": 1, "mean": 0.0, "squares": 0.0, "more": 1},
  ],
)
def test_what_no_moments_wrote_is_refused(value):
  with pytest.raises(ValueError, match=r"no running mean|to_json wrote"):
    RunningMoments.from_json(value)
