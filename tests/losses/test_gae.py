# SPDX-License-Identifier: Apache-2.0
"""Advantages over time: hand values, the two ends of lambda, padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.gae import discounted_returns, gae

_B, _T = 5, 9


def _rollouts(seed=0):
  rng = np.random.default_rng(seed)
  rewards, values = rng.normal(0, 1, (2, _B, _T)).astype(np.float32)
  # From a row without tokens to a full one.
  lengths = np.array([0, 1, 4, 8, _T])
  return rewards, values, np.arange(_T) < lengths[:, None]


# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(gae, static_argnames=("gamma", "lam"))
_returns = jax.jit(discounted_returns, static_argnames="gamma")


def _gae(rewards, values, mask, gamma=0.9, lam=0.8):
  return _jitted(
    rewards=rewards, values=values, mask=mask, gamma=gamma, lam=lam
  )


def test_three_tokens_by_hand():
  # gamma 1/2, lambda 1/2; V = 4, 2, 6; r = 1, 0, 8.
  # delta_2 = 8 - 6 = 2;             A_2 = 2
  # delta_1 = 0 + 6/2 - 2 = 1;       A_1 = 1 + 2/4 = 3/2
  # delta_0 = 1 + 2/2 - 4 = -2;      A_0 = -2 + (3/2)/4 = -13/8
  out = _gae(
    np.array([[1.0, 0.0, 8.0]], np.float32),
    np.array([[4.0, 2.0, 6.0]], np.float32),
    np.ones((1, 3), bool),
    gamma=0.5,
    lam=0.5,
  )
  assert out.advantages.tolist() == [[-1.625, 1.5, 2.0]]
  assert out.returns.tolist() == [[2.375, 3.5, 8.0]]


@pytest.mark.parametrize(
  "gamma,lam", [(1.0, 0.95), (0.9, 0.8), (0.5, 1.0), (0.7, 0.0), (0.0, 0.5)]
)
def test_equals_the_double_sum_of_the_paper(gamma, lam):
  rewards, values, mask = _rollouts()
  out = _gae(rewards, values, mask, gamma, lam)
  advantages, returns = map(np.asarray, out)
  for row in range(_B):
    length = int(mask[row].sum())
    for t in range(_T):
      expected = 0.0
      for later in range(t, length):
        following = values[row, later + 1] if later + 1 < length else 0.0
        error = rewards[row, later] + gamma * following - values[row, later]
        expected += (gamma * lam) ** (later - t) * error
      value = values[row, t] if t < length else 0.0
      np.testing.assert_allclose(
        advantages[row, t], expected, rtol=1e-5, atol=1e-5
      )
      np.testing.assert_allclose(
        returns[row, t], expected + value, rtol=1e-5, atol=1e-5
      )


def test_with_lambda_1_returns_are_the_discounted_rewards():
  rewards, values, mask = _rollouts()
  out = _gae(rewards, values, mask, gamma=0.9, lam=1.0)
  expected = _returns(rewards=rewards, mask=mask, gamma=0.9)
  np.testing.assert_allclose(out.returns, expected, rtol=1e-5, atol=1e-5)


def test_true_values_leave_no_advantage():
  # gamma 1, one reward at the end, which the values know from the start.
  mask = np.arange(4) < 3
  rewards = np.array([[0.0, 0.0, 5.0, 0.0]], np.float32)
  values = np.full((1, 4), 5.0, np.float32)
  out = _gae(rewards, values, mask[None], gamma=1.0, lam=0.95)
  np.testing.assert_array_equal(out.advantages, np.zeros((1, 4)))
  np.testing.assert_array_equal(out.returns, [[5.0, 5.0, 5.0, 0.0]])


def test_discounted_returns_equal_a_double_loop():
  rewards, _, mask = _rollouts(1)
  found = _returns(rewards=rewards, mask=mask, gamma=0.7)
  found = np.asarray(found)
  for row in range(_B):
    length = int(mask[row].sum())
    for t in range(_T):
      expected = sum(
        0.7 ** (later - t) * rewards[row, later] for later in range(t, length)
      )
      np.testing.assert_allclose(found[row, t], expected, rtol=1e-5, atol=1e-6)


def test_what_lies_beyond_a_response_is_not_read():
  rewards, values, mask = _rollouts()
  clean = _gae(rewards, values, mask)
  spoilt = _gae(
    np.where(mask, rewards, np.nan), np.where(mask, values, np.nan), mask
  )
  np.testing.assert_array_equal(spoilt.advantages, clean.advantages)
  np.testing.assert_array_equal(spoilt.returns, clean.returns)
  found = _returns(
    rewards=np.where(mask, rewards, np.nan), mask=mask, gamma=1.0
  )
  assert np.all(np.isfinite(found))
  for array in (*clean, found):
    np.testing.assert_array_equal(np.asarray(array)[~mask], 0.0)


def test_no_gradient_flows_not_even_a_nan():
  rewards, values, mask = _rollouts()

  def total(rewards, values):
    out = _gae(rewards, values, mask)
    sums = _returns(rewards=rewards, mask=mask, gamma=1.0)
    return jnp.sum(out.advantages + out.returns + sums)

  spoilt = np.where(mask, values, np.nan)
  for grad in jax.jit(jax.grad(total, (0, 1)))(rewards, spoilt):
    np.testing.assert_array_equal(grad, np.zeros((_B, _T)))


def test_extremes_are_finite():
  large = np.full((2, 50), 1e30, np.float32)
  out = _gae(large, -large, np.ones((2, 50), bool), gamma=1.0, lam=1.0)
  assert np.all(np.isfinite(out.advantages))
  assert np.all(np.isfinite(out.returns))


def test_a_discount_out_of_range_is_refused():
  rollouts = _rollouts()
  with pytest.raises(ValueError, match=r"gamma=1.01 must be in \[0, 1\]"):
    _gae(*rollouts, gamma=1.01)
  with pytest.raises(ValueError, match=r"lam=-0.1 must be in \[0, 1\]"):
    _gae(*rollouts, lam=-0.1)
  rewards, _, mask = rollouts
  with pytest.raises(ValueError, match=r"gamma=nan must be in \[0, 1\]"):
    _returns(rewards=rewards, mask=mask, gamma=float("nan"))
