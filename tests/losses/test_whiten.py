# SPDX-License-Identifier: Apache-2.0
"""Whitening: hand values, which variance, values that are all alike."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.whiten import whiten

# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(whiten, static_argnames=("shift_mean", "eps"))


def _whiten(values, mask, **options):
  return _jitted(
    values=np.asarray(values, np.float32), mask=np.asarray(mask), **options
  )


def test_the_variance_has_n_minus_1():
  # 1, 3, 5 and 7: mean 4, squares 9 + 1 + 1 + 9 = 20, variance 20/3.
  mask = [[True, True, False], [True, True, False]]
  values = [[1.0, 3.0, 9.0], [5.0, 7.0, -9.0]]
  unit = 1 / math.sqrt(20 / 3)
  expected = np.array([[-3, -1, 0], [1, 3, 0]]) * unit
  found = _whiten(values, mask)
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_the_mean_stays_where_it_is_not_shifted():
  values, mask = [[1.0, 3.0, 9.0]], [[True, True, False]]
  found = _whiten(values, mask, shift_mean=False)
  half = math.sqrt(0.5)
  np.testing.assert_allclose(found, [[2 - half, 2 + half, 0.0]], rtol=1e-6)


def test_eps_is_added_to_the_variance():
  # Variance 2, eps 6: over sqrt(8).
  found = _whiten([[1.0, 3.0]], [[True, True]], eps=6.0)
  np.testing.assert_allclose(found, [[-1 / 8**0.5, 1 / 8**0.5]], rtol=1e-6)


@pytest.mark.parametrize("shift_mean", [True, False])
def test_equals_a_double_loop(shift_mean):
  rng = np.random.default_rng(0)
  values = rng.normal(3, 2, (4, 7)).astype(np.float32)
  mask = rng.random((4, 7)) < 0.6
  counted = [
    float(values[i, j]) for i in range(4) for j in range(7) if mask[i, j]
  ]
  mean = sum(counted) / len(counted)
  variance = sum((x - mean) ** 2 for x in counted) / (len(counted) - 1)
  found = np.asarray(_whiten(values, mask, shift_mean=shift_mean))
  for i in range(4):
    for j in range(7):
      expected = (values[i, j] - mean) / math.sqrt(variance + 1e-8)
      expected += 0.0 if shift_mean else mean
      np.testing.assert_allclose(
        found[i, j], expected if mask[i, j] else 0.0, rtol=1e-5, atol=1e-6
      )


@pytest.mark.parametrize("value", [0.1, 1000.1, -3e7])
def test_values_that_are_all_alike_become_0(value):
  # Their mean is rounded, and eps is small: noise would become +-1.
  found = _whiten(np.full((3, 13), value), np.ones((3, 13), bool))
  np.testing.assert_array_equal(found, np.zeros((3, 13)))


@pytest.mark.parametrize("shift_mean,expected", [(True, 0.0), (False, 5.0)])
def test_one_value_alone_has_no_variance(shift_mean, expected):
  found = _whiten([[5.0, 7.0]], [[True, False]], shift_mean=shift_mean)
  assert found.tolist() == [[expected, 0.0]]


def test_nothing_counted_is_zero():
  found = _whiten([[5.0, np.nan]], [[False, False]], shift_mean=False)
  assert found.tolist() == [[0.0, 0.0]]


def test_nothing_under_the_mask_is_read_and_no_gradient_flows():
  values = np.float32([[1.0, 3.0, np.nan], [np.inf, 4.0, 8.0]])
  mask = np.array([[True, True, False], [False, True, True]])
  clean = np.where(mask, values, 0.0)
  np.testing.assert_array_equal(_whiten(values, mask), _whiten(clean, mask))
  grads = jax.jit(
    jax.grad(lambda x: jnp.sum(_jitted(values=x, mask=mask) ** 2))
  )(values)
  np.testing.assert_array_equal(grads, np.zeros((2, 3)))


def test_extremes_are_finite():
  found = _whiten([[1e15, -1e15, 0.0]], [[True, True, True]])
  np.testing.assert_allclose(found, [[1.0, -1.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("eps", [0.0, -1.0, math.inf, math.nan])
def test_an_eps_out_of_range_is_refused(eps):
  with pytest.raises(ValueError, match=f"eps={eps} must be above 0"):
    _whiten([[1.0]], [[True]], eps=eps)
