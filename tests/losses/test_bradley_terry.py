# SPDX-License-Identifier: Apache-2.0
"""Bradley-Terry: hand values, closed-form gradient, margins, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.bradley_terry import bradley_terry_loss


def _losses(chosen, rejected, margins=None, **options):
  options = {
    "margin": "none",
    "label_smoothing": 0.0,
    "centering": 0.0,
    **options,
  }
  chosen = jnp.asarray(chosen, jnp.float32)
  margins = jnp.zeros_like(chosen) if margins is None else jnp.asarray(margins)
  return bradley_terry_loss(
    chosen_scores=chosen,
    rejected_scores=jnp.asarray(rejected, jnp.float32),
    margins=margins,
    **options,
  ).losses


def test_a_gap_of_log_three_costs_log_four_thirds():
  # sigmoid(log 3) = 3/4.
  losses = _losses([np.log(3.0), 0.0], [0.0, np.log(3.0)])
  np.testing.assert_allclose(losses, np.log([4 / 3, 4]), rtol=1e-6)


def test_the_rewards_are_the_scores():
  result = bradley_terry_loss(
    chosen_scores=jnp.array([1.0, 2.0]),
    rejected_scores=jnp.array([3.0, -4.0]),
    margins=jnp.ones(2),
    margin="subtract",
    label_smoothing=0.1,
    centering=1.0,
  )
  np.testing.assert_array_equal(result.chosen_rewards, [1.0, 2.0])
  np.testing.assert_array_equal(result.rejected_rewards, [3.0, -4.0])


def test_a_subtracted_margin_is_what_the_gap_must_exceed():
  # Gap 2 of which the margin takes 2 away: log 2.
  losses = _losses([3.0], [1.0], [2.0], margin="subtract")
  np.testing.assert_allclose(losses, np.log([2.0]), rtol=1e-6)


def test_a_scaling_margin_repeats_the_pair():
  once = _losses([0.3], [0.9])
  thrice = _losses([0.3], [0.9], [3.0], margin="scale")
  np.testing.assert_allclose(thrice, 3 * once, rtol=1e-6)


def test_neutral_margins_change_nothing():
  chosen, rejected = [0.3, -1.0, 40.0], [0.9, -2.0, -40.0]
  plain = _losses(chosen, rejected, [5.0, 6.0, 7.0])
  for margin, neutral in (("subtract", 0.0), ("scale", 1.0)):
    losses = _losses(chosen, rejected, [neutral] * 3, margin=margin)
    np.testing.assert_array_equal(losses, plain)


def test_label_smoothing_mixes_in_the_pair_the_wrong_way_round():
  # 0.9 * log 4/3 + 0.1 * log 4.
  losses = _losses([np.log(3.0)], [0.0], label_smoothing=0.1)
  expected = 0.9 * np.log(4 / 3) + 0.1 * np.log(4)
  np.testing.assert_allclose(losses, [expected], rtol=1e-6)


def test_centering_adds_the_squared_sum_unscaled():
  # (2 + 1)^2 / 2, which a margin does not scale.
  losses = _losses([2.0], [1.0], [0.0], margin="scale", centering=0.5)
  np.testing.assert_allclose(losses, [4.5], rtol=1e-6)


@pytest.mark.parametrize("margin", ["none", "subtract", "scale"])
def test_the_gradient_has_its_closed_form(margin):
  chosen, rejected = jnp.array([0.5, -2.0]), jnp.array([1.0, -3.0])
  margins = jnp.array([0.5, 2.0])

  def total(chosen, rejected):
    return _losses(
      chosen,
      rejected,
      margins,
      margin=margin,
      label_smoothing=0.1,
      centering=0.25,
    ).sum()

  grads = jax.grad(total, argnums=(0, 1))(chosen, rejected)
  gaps = np.array([-0.5, 1.0])
  gaps = gaps - np.array(margins) if margin == "subtract" else gaps
  weights = np.array(margins) if margin == "scale" else np.ones(2)
  slopes = weights * (1 / (1 + np.exp(-gaps)) - 0.9)
  sums = 0.5 * np.array([1.5, -5.0])
  np.testing.assert_allclose(grads[0], slopes + sums, rtol=1e-5)
  np.testing.assert_allclose(grads[1], -slopes + sums, rtol=1e-5)


def test_extreme_scores_stay_finite():
  chosen, rejected = jnp.array([1e4, -1e4, 0.0]), jnp.array([-1e4, 1e4, 0.0])

  def total(chosen):
    return _losses(chosen, rejected, label_smoothing=0.1, centering=0.01).sum()

  value, grad = jax.value_and_grad(total)(chosen)
  assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize(
  ("options", "reason"),
  [
    ({"margin": "add"}, "margin='add' must be one of 'none', 'subtract'"),
    ({"label_smoothing": 0.5}, r"label_smoothing=0\.5 must be in \[0, 0\.5\)"),
    ({"label_smoothing": -0.1}, r"label_smoothing=-0\.1"),
    ({"label_smoothing": float("nan")}, "label_smoothing=nan"),
    ({"centering": -1.0}, r"centering=-1\.0 must be at least 0"),
    ({"centering": float("inf")}, "centering=inf"),
    ({"centering": float("nan")}, "centering=nan"),
  ],
)
def test_options_out_of_range_are_refused(options, reason):
  with pytest.raises(ValueError, match=reason):
    _losses([0.0], [0.0], **options)


def test_arrays_that_would_broadcast_are_refused():
  with pytest.raises(TypeError, match="rejected_scores"):
    _losses(jnp.zeros(3), jnp.zeros((3, 1)))
