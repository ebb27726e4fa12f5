# SPDX-License-Identifier: Apache-2.0
"""Ordinal grades: hand values, thresholds, and what is no grade."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.ordinal import ordinal_loss


def _losses(scores, targets):
  return ordinal_loss(
    scores=jnp.asarray(scores, jnp.float32),
    targets=jnp.asarray(targets, jnp.float32),
  )


def test_each_threshold_costs_its_log_probability():
  # P(above 0) = 3/4, P(above 1) = 1/4; grade 0: neither, 1: one, 2: both.
  scores = [[np.log(3.0), -np.log(3.0)]] * 3
  losses = _losses(scores, [[0.0], [1.0], [2.0]])
  expected = [np.log(4) + np.log(4 / 3), 2 * np.log(4 / 3)]
  np.testing.assert_allclose(losses, [*expected, expected[0]], rtol=1e-6)


def test_two_grades_are_a_logistic_regression():
  scores = jnp.array([[-1.0], [0.5], [50.0]])
  losses = _losses(scores, [[1.0], [0.0], [1.0]])
  expected = -jax.nn.log_sigmoid(jnp.array([-1.0, -0.5, 50.0]))
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_the_error_grows_with_the_distance_of_the_grades():
  sure_of_zero = [[-4.0, -6.0, -8.0]] * 4
  losses = _losses(sure_of_zero, [[0.0], [1.0], [2.0], [3.0]])
  assert (np.diff(losses) > 3).all()


def test_the_gradient_is_probability_minus_truth():
  scores = jnp.array([[np.log(3.0), 0.0, -np.log(3.0)]])
  grad = jax.grad(lambda s: _losses(s, [[1.0]]).sum())(scores)
  np.testing.assert_allclose(grad, [[-0.25, 0.5, 0.25]], rtol=1e-6)


def test_the_best_scores_give_back_the_share_of_each_grade():
  # Grades 0, 1, 1, 2: 3/4 lie above 0 and 1/4 above 1.
  targets = jnp.array([[0.0], [1.0], [1.0], [2.0]])
  best = jnp.array([np.log(3.0), -np.log(3.0)])
  grad = jax.grad(lambda s: _losses(jnp.tile(s, (4, 1)), targets).sum())(best)
  np.testing.assert_allclose(grad, [0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("score", [3.0, jnp.inf, jnp.nan])
def test_an_unrated_answer_costs_nothing(score):
  scores = jnp.array([[score, score], [0.0, 0.0]])
  targets = [[jnp.nan], [2.0]]
  grad = jax.grad(lambda s: _losses(s, targets).sum())(scores)
  np.testing.assert_allclose(
    _losses(scores, targets), [0, 2 * np.log(2)], rtol=1e-6
  )
  np.testing.assert_allclose(grad, [[0, 0], [-0.5, -0.5]])


@pytest.mark.parametrize("target", [3.0, -1.0, 0.5, jnp.inf])
def test_a_number_that_is_no_grade_shows_as_nan(target):
  losses = _losses(jnp.zeros((2, 2)), [[target], [1.0]])
  assert np.isnan(losses[0]) and np.isfinite(losses[1])


def test_extreme_scores_stay_finite():
  scores = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
  grad = jax.grad(lambda s: _losses(s, [[1.0], [1.0]]).sum())(scores)
  np.testing.assert_allclose(_losses(scores, [[1.0], [1.0]]), [0.0, 2e4])
  np.testing.assert_allclose(grad, [[0, 0], [-1, 1]])


def test_a_head_without_thresholds_is_refused():
  with pytest.raises(ValueError, match="scores has no threshold"):
    _losses(jnp.zeros((2, 0)), jnp.zeros((2, 1)))


def test_targets_without_their_axis_are_refused():
  with pytest.raises(TypeError, match="targets"):
    _losses(jnp.zeros((2, 2)), jnp.zeros(2))
