# SPDX-License-Identifier: Apache-2.0
"""WeightedMean: adds exactly, divides once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.weighted_mean import WeightedMean


def test_the_masked_mean_counts_only_true():
  mean = WeightedMean.of(
    jnp.array([[1.0, 9.0], [3.0, 9.0]]),
    jnp.array([[True, False], [True, False]]),
  )
  assert (mean.total, mean.weight, mean.value) == (4.0, 2.0, 2.0)


def test_parts_of_unequal_size_add_to_the_mean_of_the_whole():
  # Mean of means would give (1 + 5) / 2 = 3; the mean of 1, 5, 5, 5 is 4.
  parts = WeightedMean.of(jnp.array([1.0])) + WeightedMean.of(jnp.full(3, 5.0))
  assert parts.value == 4.0


def test_a_nan_under_the_mask_reaches_neither_value_nor_gradient():
  mask = jnp.array([True, False])

  def value(x):
    return WeightedMean.of(x, mask).total

  x = jnp.array([2.0, jnp.nan])
  assert value(x) == 2.0
  np.testing.assert_array_equal(jax.grad(value)(x), [1.0, 0.0])


def test_nothing_counted_is_zero_with_a_zero_gradient():
  def value(x):
    return WeightedMean.of(x, jnp.zeros(2, bool)).value

  assert value(jnp.ones(2)) == 0.0
  np.testing.assert_array_equal(jax.grad(value)(jnp.ones(2)), [0.0, 0.0])


def test_sums_are_float32_whatever_the_values():
  # 300 ones in bfloat16 would stop counting at 256.
  mean = WeightedMean.of(jnp.ones(300, jnp.bfloat16))
  assert mean.total.dtype == jnp.float32 and mean.total == 300.0


def test_it_is_a_pytree_of_two_leaves():
  mean = WeightedMean.of(jnp.arange(3.0))
  doubled = jax.tree.map(lambda x: 2 * x, mean)
  assert isinstance(doubled, WeightedMean)
  assert (doubled.total, doubled.weight) == (6.0, 6.0)


def test_a_weight_below_one_divides_as_any_other():
  mean = WeightedMean(jnp.float32(3.0), jnp.float32(0.5))
  assert mean.value == 6.0


def test_a_weight_of_zero_means_zero_whatever_the_total():
  assert WeightedMean(jnp.float32(5.0), jnp.float32(0.0)).value == 0.0


def test_the_weight_is_float32_with_and_without_a_mask():
  values = jnp.ones(3)
  assert WeightedMean.of(values).weight.dtype == jnp.float32
  masked = WeightedMean.of(values, jnp.array([True, False, True]))
  assert masked.weight.dtype == jnp.float32


def test_it_cannot_be_changed_in_place():
  mean = WeightedMean.of(jnp.ones(3))
  with pytest.raises(dataclasses.FrozenInstanceError):
    mean.weight = jnp.float32(1.0)  # pyright: ignore


def test_a_weight_of_zero_gives_the_total_a_zero_gradient():
  def value(total, weight):
    return WeightedMean(total, weight).value

  grads = jax.grad(value, (0, 1))(jnp.float32(5.0), jnp.float32(0.0))
  np.testing.assert_array_equal(grads, (0.0, 0.0))
