# SPDX-License-Identifier: Apache-2.0
"""Classification: hand values, closed-form gradient, and what is no class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.classification import classification_loss


def _losses(scores, targets, label_smoothing=0.0):
  return classification_loss(
    scores=jnp.asarray(scores, jnp.float32),
    targets=jnp.asarray(targets, jnp.float32),
    label_smoothing=label_smoothing,
  )


def test_a_class_of_probability_one_quarter_costs_log_four():
  scores = np.log([[2.0, 1.0, 1.0]] * 3) + 7
  losses = _losses(scores, [[0.0], [1.0], [2.0]])
  np.testing.assert_allclose(losses, np.log([2.0, 4.0, 4.0]), rtol=1e-6)


def test_two_classes_are_a_logistic_regression_on_the_difference():
  scores = jnp.array([[1.0, -0.5], [3.0, 7.0]])
  losses = _losses(scores, [[0.0], [0.0]])
  expected = -jax.nn.log_sigmoid(jnp.array([1.5, -4.0]))
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_label_smoothing_mixes_in_the_mean_over_the_classes():
  # 0.7 * log 2 + 0.3 * (log 2 + log 4 + log 4) / 3.
  losses = _losses(np.log([[2.0, 1.0, 1.0]]), [[0.0]], label_smoothing=0.3)
  expected = 0.7 * np.log(2) + 0.1 * np.log(32)
  np.testing.assert_allclose(losses, [expected], rtol=1e-6)


def test_the_gradient_is_probability_minus_truth():
  scores = jnp.log(jnp.array([[2.0, 1.0, 1.0]]))
  grad = jax.grad(lambda s: _losses(s, [[1.0]], 0.3).sum())(scores)
  # Truth: 0.1, 0.8, 0.1.
  np.testing.assert_allclose(grad, [[0.4, -0.55, 0.15]], rtol=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("score", [3.0, jnp.inf, jnp.nan])
def test_an_unknown_class_costs_nothing(score, label_smoothing):
  scores, targets = jnp.array([[score, 1.0]]), [[jnp.nan]]

  def total(scores):
    return _losses(scores, targets, label_smoothing).sum()

  loss, grad = jax.value_and_grad(total)(scores)
  assert loss == 0 and (grad == 0).all()


@pytest.mark.parametrize("target", [2.0, -1.0, 0.5, jnp.inf])
def test_a_number_that_is_no_class_shows_as_nan(target):
  losses = _losses(jnp.zeros((2, 2)), [[target], [1.0]])
  assert np.isnan(losses[0]) and np.isfinite(losses[1])


def test_extreme_scores_stay_finite():
  scores = jnp.array([[1e4, -1e4], [1e4, -1e4]])
  targets = [[0.0], [1.0]]
  grad = jax.grad(lambda s: _losses(s, targets).sum())(scores)
  np.testing.assert_allclose(_losses(scores, targets), [0.0, 2e4])
  np.testing.assert_allclose(grad, [[0, 0], [1, -1]])


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_is_refused(label_smoothing):
  with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
    _losses(jnp.zeros((1, 2)), [[0.0]], label_smoothing)


def test_a_single_class_is_refused():
  with pytest.raises(ValueError, match="C=1 classes"):
    _losses(jnp.zeros((1, 1)), [[0.0]])


def test_targets_without_their_axis_are_refused():
  with pytest.raises(TypeError, match="targets"):
    _losses(jnp.zeros((2, 2)), jnp.zeros(2))
