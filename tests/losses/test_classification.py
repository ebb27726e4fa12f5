# SPDX-License-Identifier: Apache-2.0
"""Classification: hand values, closed-form gradient, and what is no class."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.classification import classification_loss


# Jitted: each operation by itself would be a program to compile.
@functools.partial(jax.jit, static_argnums=2)
def _jitted(scores, targets, label_smoothing):
  return classification_loss(
    scores=scores, targets=targets, label_smoothing=label_smoothing
  )


@functools.partial(jax.jit, static_argnums=2)
def _gradients(scores, targets, label_smoothing):
  return jax.grad(lambda s: jnp.sum(_jitted(s, targets, label_smoothing)))(
    scores
  )


def _losses(scores, targets, label_smoothing=0.0):
  arrays = np.float32(scores), np.float32(targets)
  return np.asarray(_jitted(*arrays, label_smoothing))


def _grad(scores, targets, label_smoothing=0.0):
  """Of the sum of the losses."""
  arrays = np.float32(scores), np.float32(targets)
  return np.asarray(_gradients(*arrays, label_smoothing))


def test_a_class_of_probability_one_quarter_costs_log_four():
  scores = np.log([[2.0, 1.0, 1.0]] * 3) + 7
  losses = _losses(scores, [[0.0], [1.0], [2.0]])
  np.testing.assert_allclose(losses, np.log([2.0, 4.0, 4.0]), rtol=1e-6)


def test_two_classes_are_a_logistic_regression_on_the_difference():
  losses = _losses([[1.0, -0.5], [3.0, 7.0]], [[0.0], [0.0]])
  expected = np.log1p(np.exp([-1.5, 4.0]))
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_label_smoothing_mixes_in_the_mean_over_the_classes():
  # 0.7 * log 2 + 0.3 * (log 2 + log 4 + log 4) / 3.
  losses = _losses(np.log([[2.0, 1.0, 1.0]]), [[0.0]], label_smoothing=0.3)
  expected = 0.7 * np.log(2) + 0.1 * np.log(32)
  np.testing.assert_allclose(losses, [expected], rtol=1e-6)


def test_the_gradient_is_probability_minus_truth():
  grad = _grad(np.log([[2.0, 1.0, 1.0]]), [[1.0]], 0.3)
  # Truth: 0.1, 0.8, 0.1.
  np.testing.assert_allclose(grad, [[0.4, -0.55, 0.15]], rtol=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("score", [3.0, np.inf, np.nan])
def test_an_unknown_class_costs_nothing(score, label_smoothing):
  given = [[score, 1.0]], [[np.nan]], label_smoothing
  assert (_losses(*given) == 0).all() and (_grad(*given) == 0).all()


@pytest.mark.parametrize("target", [2.0, -1.0, 0.5, np.inf])
def test_a_number_that_is_no_class_shows_as_nan(target):
  losses = _losses(np.zeros((2, 2)), [[target], [1.0]])
  assert np.isnan(losses[0]) and np.isfinite(losses[1])


def test_extreme_scores_stay_finite():
  scores, targets = [[1e4, -1e4], [1e4, -1e4]], [[0.0], [1.0]]
  np.testing.assert_allclose(_losses(scores, targets), [0.0, 2e4])
  np.testing.assert_allclose(_grad(scores, targets), [[0, 0], [1, -1]])


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_is_refused(label_smoothing):
  with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
    _losses(np.zeros((1, 2)), [[0.0]], label_smoothing)


def test_a_single_class_is_refused():
  with pytest.raises(ValueError, match="C=1 classes"):
    _losses(np.zeros((1, 1)), [[0.0]])


def test_targets_without_their_axis_are_refused():
  with pytest.raises(TypeError, match="targets"):
    _losses(np.zeros((2, 2)), np.zeros(2))
