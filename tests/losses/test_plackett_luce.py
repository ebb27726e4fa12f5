# SPDX-License-Identifier: Apache-2.0
"""Plackett-Luce: hand values, absent answers, what it becomes for two."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.plackett_luce import plackett_luce_loss


# Jitted: each operation by itself would be a program to compile.
@jax.jit
def _jitted(scores, present):
  return plackett_luce_loss(scores=scores, present=present)


@jax.jit
def _gradients(scores, present):
  return jax.grad(lambda s: jnp.sum(_jitted(s, present)))(scores)


def _arrays(scores, present):
  scores = np.asarray(scores, np.float32)
  present = np.ones(scores.shape, bool) if present is None else present
  return scores, np.asarray(present)


def _losses(scores, present=None):
  return np.asarray(_jitted(*_arrays(scores, present)))


def _grad(scores, present=None):
  """Of the sum of the losses."""
  return np.asarray(_gradients(*_arrays(scores, present)))


def test_three_answers_of_weights_three_two_one():
  # First 3 of 6, then 2 of the 3 that are left, then the last.
  loss = _losses(np.log([[3.0, 2.0, 1.0]]))
  np.testing.assert_allclose(loss, [np.log(2 * 1.5)], rtol=1e-6)


def test_the_probabilities_of_all_rankings_add_up_to_one():
  scores = [1.5, -0.5, 0.25, 3.0]
  losses = _losses(list(itertools.permutations(scores)))
  np.testing.assert_allclose(np.exp(-losses).sum(), 1.0, rtol=1e-5)


def test_two_answers_are_a_bradley_terry_pair():
  scores = np.float32([[1.0, -0.5], [-3.0, 2.0], [50.0, -50.0], [0.0, 50.0]])

  def pairs(scores):
    losses = -jax.nn.log_sigmoid(scores[:, 0] - scores[:, 1])
    return jnp.sum(losses), losses

  expected, losses = jax.jit(jax.grad(pairs, has_aux=True))(scores)
  np.testing.assert_allclose(_losses(scores), losses, rtol=1e-6)
  np.testing.assert_allclose(_grad(scores), expected, rtol=1e-5, atol=1e-20)


def test_a_shift_of_all_scores_changes_nothing():
  scores = np.array([[1.0, -2.0, 0.5]])
  np.testing.assert_allclose(_losses(scores + 8), _losses(scores), rtol=1e-6)


@pytest.mark.parametrize("absent", [0.0, 1e4, np.nan, np.inf, -np.inf])
def test_absent_answers_take_no_part(absent):
  scores = [[1.0, absent, -0.5, absent], [absent, 2.0, 0.0, 3.0]]
  present = np.array([[True, False, True, False], [False, True, True, True]])
  loss, grad = _losses(scores, present).sum(), _grad(scores, present)
  alone = _losses([[1.0, -0.5]])[0] + _losses([[2.0, 0.0, 3.0]])[0]
  np.testing.assert_allclose(loss, alone, rtol=1e-6)
  assert (grad[~present] == 0).all() and np.isfinite(grad).all()
  # What one answer gains the others lose.
  np.testing.assert_allclose(grad.sum(axis=1), [0, 0], atol=1e-6)


def test_fewer_than_two_answers_cost_nothing():
  present = [[True, False, False], [False, False, True], [False] * 3]
  scores = [[5.0, 1.0, 2.0]] * 3
  assert (_losses(scores, present) == 0).all()
  assert (_grad(scores, present) == 0).all()


def test_the_gradient_has_its_closed_form():
  # Shares of 3, 2, 1: (1/2, 1/3, 1/6), then (2/3, 1/3) of the last two.
  grad = _grad(np.log([[3.0, 2.0, 1.0]]))
  np.testing.assert_allclose(grad, [[-1 / 2, 1 / 3 - 1 / 3, 1 / 2]], atol=1e-6)


def test_extreme_scores_stay_finite():
  scores = [[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]]
  np.testing.assert_allclose(_losses(scores), [0.0, 3e4], rtol=1e-6)
  assert np.isfinite(_grad(scores)).all()


def test_a_single_column_is_refused():
  with pytest.raises(ValueError, match="K=1 answers a row"):
    _losses([[1.0]])


def test_another_shape_of_presence_is_refused():
  with pytest.raises(TypeError, match="present"):
    _losses(np.zeros((2, 3)), np.ones((2, 2), bool))
