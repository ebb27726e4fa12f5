# SPDX-License-Identifier: Apache-2.0
"""Regression on attributes: hand values, and what nobody rated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.regression import regression_loss


def _losses(scores, targets):
  return regression_loss(
    scores=jnp.asarray(scores, jnp.float32),
    targets=jnp.asarray(targets, jnp.float32),
  )


def test_each_attribute_costs_its_squared_error():
  losses = _losses([[3.0, 1.0], [0.5, -2.0]], [[1.0, 1.0], [0.0, 2.0]])
  np.testing.assert_allclose(losses, [[4.0, 0.0], [0.25, 16.0]], rtol=1e-6)


def test_the_gradient_is_twice_the_error():
  scores = jnp.array([[3.0, 1.0]])
  grad = jax.grad(lambda s: _losses(s, [[1.0, 4.0]]).sum())(scores)
  np.testing.assert_allclose(grad, [[4.0, -6.0]], rtol=1e-6)


@pytest.mark.parametrize("score", [0.0, 1e30, jnp.inf, jnp.nan])
def test_what_nobody_rated_costs_nothing(score):
  scores = jnp.array([[score, 2.0], [score, score]])
  targets = [[jnp.nan, 1.0], [jnp.nan, jnp.nan]]
  grad = jax.grad(lambda s: _losses(s, targets).sum())(scores)
  np.testing.assert_array_equal(_losses(scores, targets), [[0, 1], [0, 0]])
  np.testing.assert_array_equal(grad, [[0, 2], [0, 0]])


def test_ratings_get_a_finite_gradient_where_there_are_none():
  targets = jnp.array([[jnp.nan, 1.0]])
  grad = jax.grad(lambda t: _losses(jnp.zeros((1, 2)), t).sum())(targets)
  np.testing.assert_array_equal(grad, [[0.0, 2.0]])


def test_one_rating_for_several_scores_is_refused():
  with pytest.raises(TypeError, match="targets"):
    _losses(jnp.zeros((2, 3)), jnp.zeros((2, 1)))
