# SPDX-License-Identifier: Apache-2.0
"""Ordinal grades: hand values, thresholds, and what is no grade."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.ordinal import ordinal_loss


# Jitted: each operation by itself would be a program to compile.
@jax.jit
def _jitted(scores, targets):
  return ordinal_loss(scores=scores, targets=targets)


@jax.jit
def _gradients(scores, targets):
  return jax.grad(lambda s: jnp.sum(_jitted(s, targets)))(scores)


def _losses(scores, targets):
  return np.asarray(_jitted(np.float32(scores), np.float32(targets)))


def _grad(scores, targets):
  """Of the sum of the losses."""
  return np.asarray(_gradients(np.float32(scores), np.float32(targets)))


def test_each_threshold_costs_its_log_probability():
  # P(above 0) = 3/4, P(above 1) = 1/4; grade 0: neither, 1: one, 2: both.
  scores = [[np.log(3.0), -np.log(3.0)]] * 3
  losses = _losses(scores, [[0.0], [1.0], [2.0]])
  expected = [np.log(4) + np.log(4 / 3), 2 * np.log(4 / 3)]
  np.testing.assert_allclose(losses, [*expected, expected[0]], rtol=1e-6)


def test_two_grades_are_a_logistic_regression():
  losses = _losses([[-1.0], [0.5], [50.0]], [[1.0], [0.0], [1.0]])
  expected = np.log1p(np.exp([1.0, 0.5, -50.0]))
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_the_error_grows_with_the_distance_of_the_grades():
  sure_of_zero = [[-4.0, -6.0, -8.0]] * 4
  losses = _losses(sure_of_zero, [[0.0], [1.0], [2.0], [3.0]])
  assert (np.diff(losses) > 3).all()


def test_the_gradient_is_probability_minus_truth():
  grad = _grad([[np.log(3.0), 0.0, -np.log(3.0)]], [[1.0]])
  np.testing.assert_allclose(grad, [[-0.25, 0.5, 0.25]], rtol=1e-6)


def test_the_best_scores_give_back_the_share_of_each_grade():
  # Grades 0, 1, 1, 2: 3/4 lie above 0 and 1/4 above 1.
  best = [[np.log(3.0), -np.log(3.0)]] * 4
  grad = _grad(best, [[0.0], [1.0], [1.0], [2.0]])
  np.testing.assert_allclose(grad.sum(axis=0), [0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("score", [3.0, np.inf, np.nan])
def test_an_unrated_answer_costs_nothing(score):
  scores, targets = [[score, score], [0.0, 0.0]], [[np.nan], [2.0]]
  np.testing.assert_allclose(
    _losses(scores, targets), [0, 2 * np.log(2)], rtol=1e-6
  )
  np.testing.assert_allclose(_grad(scores, targets), [[0, 0], [-0.5, -0.5]])


@pytest.mark.parametrize("target", [3.0, -1.0, 0.5, np.inf])
def test_a_number_that_is_no_grade_shows_as_nan(target):
  losses = _losses(np.zeros((2, 2)), [[target], [1.0]])
  assert np.isnan(losses[0]) and np.isfinite(losses[1])


def test_extreme_scores_stay_finite():
  scores, targets = [[1e4, -1e4], [-1e4, 1e4]], [[1.0], [1.0]]
  np.testing.assert_allclose(_losses(scores, targets), [0.0, 2e4])
  np.testing.assert_allclose(_grad(scores, targets), [[0, 0], [-1, 1]])


def test_a_head_without_thresholds_is_refused():
  with pytest.raises(ValueError, match="scores has no threshold"):
    _losses(np.zeros((2, 0)), np.zeros((2, 1)))


def test_targets_without_their_axis_are_refused():
  with pytest.raises(TypeError, match="targets"):
    _losses(np.zeros((2, 2)), np.zeros(2))
