# SPDX-License-Identifier: Apache-2.0
"""Answers of a group, compared: hand values, missing ones, refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.group_advantages import group_advantages

_WAYS = [
  (baseline, scale)
  for baseline in ("mean", "leave_one_out", "none")
  for scale in ("std", "none")
]


# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(
  group_advantages, static_argnames=("baseline", "scale", "eps")
)


def _advantages(
  rewards, present=None, baseline="mean", scale="none", **options
):
  rewards = jnp.asarray(rewards, jnp.float32)
  if present is None:
    present = np.ones(rewards.shape, bool)
  return _jitted(
    rewards=rewards,
    present=np.asarray(present),
    baseline=baseline,
    scale=scale,
    **options,
  )


# Rewards 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, variance 7.
_DEVIATION = math.sqrt(7) + 1e-4


@pytest.mark.parametrize(
  "baseline,scale,expected",
  [
    ("mean", "std", [-2 / _DEVIATION, -1 / _DEVIATION, 3 / _DEVIATION]),
    ("mean", "none", [-2, -1, 3]),
    # The others' means: (2 + 6) / 2, (1 + 6) / 2 and (1 + 2) / 2.
    ("leave_one_out", "none", [1 - 4, 2 - 3.5, 6 - 1.5]),
    (
      "leave_one_out",
      "std",
      [-3 / _DEVIATION, -1.5 / _DEVIATION, 4.5 / _DEVIATION],
    ),
    ("none", "none", [1, 2, 6]),
    ("none", "std", [1 / _DEVIATION, 2 / _DEVIATION, 6 / _DEVIATION]),
  ],
)
def test_three_answers_by_hand(baseline, scale, expected):
  found = _advantages([[1.0, 2.0, 6.0]], baseline=baseline, scale=scale)
  np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize("baseline,scale", _WAYS)
def test_equals_a_double_loop(baseline, scale):
  rng = np.random.default_rng(0)
  rewards = rng.normal(2, 3, (6, 5)).astype(np.float32)
  present = np.arange(5) < np.array([5, 4, 3, 2, 1, 0])[:, None]
  present = rng.permuted(present, axis=1)
  found = np.asarray(_advantages(rewards, present, baseline, scale, eps=0.5))
  for g in range(6):
    for k in range(5):
      here = [
        float(r) for r, p in zip(rewards[g], present[g], strict=True) if p
      ]
      others = [
        float(rewards[g, j]) for j in range(5) if present[g, j] and j != k
      ]
      expected = float(rewards[g, k])
      if (baseline, scale) != ("none", "none") and len(here) < 2:
        expected = 0.0
      elif len(here) >= 2:
        mean = sum(here) / len(here)
        if baseline == "mean":
          expected -= mean
        elif baseline == "leave_one_out":
          expected -= sum(others) / len(others) if others else 0.0
        if scale == "std":
          squares = sum((r - mean) ** 2 for r in here)
          expected /= math.sqrt(squares / (len(here) - 1)) + 0.5
      if not present[g, k]:
        expected = 0.0
      np.testing.assert_allclose(found[g, k], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 1000.1, -3e7])
@pytest.mark.parametrize("baseline", ["mean", "leave_one_out"])
def test_answers_that_are_all_alike_get_0(value, baseline):
  rewards = np.full((2, 3), value)
  found = _advantages(rewards, baseline=baseline, scale="std")
  np.testing.assert_array_equal(found, np.zeros((2, 3)))


def test_leaving_one_out_is_the_mean_scaled_up():
  rewards = np.random.default_rng(1).normal(0, 1, (3, 4))
  found = _advantages(rewards, baseline="leave_one_out")
  np.testing.assert_allclose(found, _advantages(rewards) * 4 / 3, rtol=1e-6)


@pytest.mark.parametrize("baseline,scale", _WAYS)
def test_missing_answers_are_not_read_and_no_gradient_flows(baseline, scale):
  rewards = np.float32([[1.0, np.nan, 6.0], [np.inf, np.nan, 3.0]])
  present = np.array([[True, False, True], [False, False, True]])

  def advantages(rewards):
    return _advantages(rewards, present, baseline, scale)

  clean = np.where(present, rewards, 0.0)
  np.testing.assert_array_equal(advantages(rewards), advantages(clean))
  assert np.all(np.isfinite(advantages(rewards)))
  np.testing.assert_array_equal(np.asarray(advantages(rewards))[~present], 0.0)
  grads = jax.jit(jax.grad(lambda x: jnp.sum(advantages(x) ** 2)))(rewards)
  np.testing.assert_array_equal(grads, np.zeros((2, 3)))


def test_a_group_with_one_present_says_nothing():
  rewards, present = [[5.0, 1.0]], [[True, False]]
  for baseline, scale in _WAYS:
    found = _advantages(rewards, present, baseline, scale)
    alone = 5.0 if (baseline, scale) == ("none", "none") else 0.0
    assert found.tolist() == [[alone, 0.0]]


def test_extremes_are_finite():
  found = _advantages([[1e15, -1e15, 0.0]], scale="std")
  np.testing.assert_allclose(found, [[1.0, -1.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("baseline,scale", _WAYS)
def test_one_answer_a_prompt_is_refused_unless_nothing_is_compared(
  baseline, scale
):
  if (baseline, scale) == ("none", "none"):
    found = _advantages([[5.0]], None, baseline, scale)
    assert found.tolist() == [[5.0]]
    return
  with pytest.raises(ValueError, match="there is K=1 of them: sample at least"):
    _advantages([[5.0]], None, baseline, scale)


@pytest.mark.parametrize(
  "options,message",
  [
    ({"baseline": "median"}, r"baseline='median' must be one of \('mean'"),
    ({"scale": "batch"}, r"scale='batch' must be one of \('std'"),
    ({"eps": 0.0}, "eps=0.0 must be above 0"),
    ({"eps": math.nan}, "eps=nan must be above 0"),
  ],
)
def test_unknown_ways_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    _advantages([[1.0, 2.0]], **options)
