# SPDX-License-Identifier: Apache-2.0
"""ORPO: odds by hand, and near certainty."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.orpo import orpo_loss


def _arrays(chosen, rejected, lengths=(1, 1)):
  """One pair without a reference."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    chosen_lengths=jnp.array([lengths[0]], jnp.int32),
    rejected_lengths=jnp.array([lengths[1]], jnp.int32),
  )


def test_hand_value():
  # Means log(1/2) and log(1/4): odds 1 and 1/3, their ratio 3; sigma(log 3).
  out = orpo_loss(
    **_arrays(2 * math.log(0.5), 3 * math.log(0.25), (2, 3)),
    odds_ratio_weight=0.5,
  )
  expected = math.log(2) + 0.5 * math.log(4 / 3)
  np.testing.assert_allclose(out.losses, [expected], rtol=1e-6)
  np.testing.assert_allclose(out.chosen_rewards, [0.0], atol=1e-6)
  np.testing.assert_allclose(out.rejected_rewards, [-math.log(3)], rtol=1e-6)


def test_without_the_odds_it_is_sft():
  out = orpo_loss(**_arrays(-6.0, -1.0, (4, 1)), odds_ratio_weight=0.0)
  assert out.losses.tolist() == [1.5]


@pytest.mark.parametrize("logp", [-1e-3, -1e-5, -1e-6])
def test_odds_near_certainty_keep_their_digits(logp):
  # log(p / (1 - p)) in float64.
  out = orpo_loss(**_arrays(logp, logp), odds_ratio_weight=0.1)
  exact = logp - math.log(-math.expm1(logp))
  np.testing.assert_allclose(out.chosen_rewards, [exact], rtol=1e-6)


@pytest.mark.parametrize("logp", [-0.69, -0.70, -30.0])
def test_odds_on_both_sides_of_the_change_of_formula(logp):
  out = orpo_loss(**_arrays(logp, logp), odds_ratio_weight=0.1)
  exact = logp - math.log1p(-math.exp(logp))
  np.testing.assert_allclose(out.chosen_rewards, [exact], rtol=1e-5)


@pytest.mark.parametrize(
  "chosen,rejected", [(0.0, -1.0), (-1.0, 0.0), (0.0, 0.0)]
)
def test_certainty_is_finite(chosen, rejected):
  def total(chosen, rejected):
    arrays = _arrays(0.0, 0.0)
    arrays |= dict(chosen_logps=chosen, rejected_logps=rejected)
    return jnp.sum(orpo_loss(**arrays, odds_ratio_weight=0.1).losses)

  value, grads = jax.value_and_grad(total, argnums=(0, 1))(
    jnp.array([chosen]), jnp.array([rejected])
  )
  assert np.isfinite([value, grads[0][0], grads[1][0]]).all()


def test_float32_ends_at_odds_of_2_to_the_23():
  out = orpo_loss(**_arrays(0.0, 0.0), odds_ratio_weight=0.1)
  np.testing.assert_allclose(out.chosen_rewards, [23 * math.log(2)], rtol=1e-6)
