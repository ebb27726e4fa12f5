# SPDX-License-Identifier: Apache-2.0
"""DPO: hand values, the limits of its options, refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.dpo import dpo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_hand_value():
  # Log-ratios 1 and -2 at beta 1/2: m = 3/2.
  out = dpo_loss(**_arrays(-3.0, -6.0, -4.0, -4.0), beta=0.5)
  np.testing.assert_allclose(out.losses, [math.log1p(math.exp(-1.5))], 1e-6)
  assert out.chosen_rewards.tolist() == [0.5]
  assert out.rejected_rewards.tolist() == [-1.0]


def test_gradient_is_the_weight_of_the_wrong_order():
  # -beta sigma(-m) for the chosen response, its opposite for the other.
  arrays = _arrays(-3.0, -6.0, -4.0, -4.0)
  grads = jax.grad(lambda x: jnp.sum(dpo_loss(**x, beta=0.5).losses))(arrays)
  weight = 0.5 / (1 + math.exp(1.5))
  np.testing.assert_allclose(grads["chosen_logps"], [-weight], 1e-6)
  np.testing.assert_allclose(grads["rejected_logps"], [weight], 1e-6)


def test_smoothed_dpo_is_least_at_the_log_odds_of_the_labels():
  # d/dm = 0 where sigma(m) = 1 - eps: m = log 9 for eps 0.1.
  def loss(chosen):
    arrays = _arrays(0.0, 0.0) | {"chosen_logps": chosen}
    return jnp.sum(dpo_loss(**arrays, beta=1.0, label_smoothing=0.1).losses)

  best = jnp.log(jnp.array([9.0]))
  assert abs(jax.grad(loss)(best)[0]) < 1e-6
  assert loss(best) < min(loss(best - 0.1), loss(best + 0.1))


def test_no_smoothing_is_dpo():
  arrays = _arrays(-3.0, -6.0, -4.0, -4.5)
  smoothed = dpo_loss(**arrays, beta=0.5, label_smoothing=0.0)
  assert (
    smoothed.losses.tolist() == dpo_loss(**arrays, beta=0.5).losses.tolist()
  )


@pytest.mark.parametrize(
  "divergence,alpha,score",
  [
    # f'(u) of u = 2, in the form that is 0 at u = 1.
    ("reverse_kl", None, math.log(2)),
    ("forward_kl", None, 1 / 2),
    ("js", None, math.log(4 / 3)),
    ("alpha", 0.5, 2 * (1 - math.sqrt(1 / 2))),
  ],
)
def test_rewards_are_the_derivative_of_the_divergence(divergence, alpha, score):
  out = dpo_loss(
    **_arrays(math.log(2.0), 0.0),
    beta=0.5,
    divergence=divergence,
    divergence_alpha=alpha,
  )
  np.testing.assert_allclose(out.chosen_rewards, [score / 2], rtol=1e-6)
  np.testing.assert_allclose(out.rejected_rewards, [0.0], atol=1e-7)
  expected = math.log1p(math.exp(-score / 2))
  np.testing.assert_allclose(out.losses, [expected], rtol=1e-6)


@pytest.mark.parametrize(
  "alpha,limit", [(1e-5, "reverse_kl"), (1 - 1e-6, "forward_kl")]
)
def test_alpha_divergence_has_the_two_kls_at_its_ends(alpha, limit):
  arrays = _arrays(-3.0, -6.0, -4.0, -4.5)
  near = dpo_loss(
    **arrays, beta=0.5, divergence="alpha", divergence_alpha=alpha
  )
  end = dpo_loss(**arrays, beta=0.5, divergence=limit)
  np.testing.assert_allclose(near.losses, end.losses, rtol=1e-4)


@pytest.mark.parametrize(
  "divergence,alpha",
  [("reverse_kl", None), ("forward_kl", None), ("js", None), ("alpha", 0.9)],
)
@pytest.mark.parametrize("ratio", [-1e4, -100.0, 100.0, 1e4])
def test_far_ratios_are_finite_under_every_divergence(divergence, alpha, ratio):
  options = dict(beta=0.1, divergence=divergence, divergence_alpha=alpha)
  for arrays in (_arrays(ratio, -ratio), _arrays(ratio, ratio)):
    value, grads = jax.value_and_grad(
      lambda x: jnp.sum(dpo_loss(**x, **options).losses)
    )(arrays)
    assert np.isfinite([value, *(g[0] for g in grads.values())]).all()


def test_an_unknown_divergence_is_refused_with_the_known():
  with pytest.raises(ValueError, match=r"'kl' is unknown: .*forward_kl"):
    dpo_loss(**_arrays(-1.0, -2.0), beta=0.1, divergence="kl")


@pytest.mark.parametrize("alpha", [None, 0.0, 1.0, math.nan])
def test_the_alpha_divergence_needs_its_alpha(alpha):
  with pytest.raises(ValueError, match=r"divergence_alpha=.* must be in"):
    dpo_loss(
      **_arrays(-1.0, -2.0),
      beta=0.1,
      divergence="alpha",
      divergence_alpha=alpha,
    )


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "js"])
def test_an_alpha_that_nothing_reads_is_refused(divergence):
  with pytest.raises(ValueError, match=r"divergence_alpha=0\.5 is not used"):
    dpo_loss(
      **_arrays(-1.0, -2.0),
      beta=0.1,
      divergence=divergence,
      divergence_alpha=0.5,
    )
