# SPDX-License-Identifier: Apache-2.0
"""Truncated importance weights: hand values, extremes, refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.importance_weights import truncated_importance


def _weights(old, sampler, cap=2.0):
  return truncated_importance(
    old_logps=jnp.asarray(old, jnp.float32),
    sampler_logps=jnp.asarray(sampler, jnp.float32),
    cap=cap,
  )


def test_ratios_below_the_cap_stay_and_those_above_become_it():
  # 1/4 over 1/2, the same, 3/4 over 1/2, 3/4 over 1/4; cut off, not dropped.
  old, sampler = [0.25, 0.3, 0.75, 0.75], [0.5, 0.3, 0.5, 0.25]
  found = _weights(np.log(old), np.log(sampler))
  np.testing.assert_allclose(found, [0.5, 1.0, 1.5, 2.0], rtol=1e-6)


def test_equals_a_loop():
  rng = np.random.default_rng(0)
  old, sampler = -rng.gamma(1.0, 2.0, (2, 60)).astype(np.float32)
  found = _weights(old, sampler, cap=3.0)
  for i in range(60):
    expected = min(math.exp(float(old[i]) - float(sampler[i])), 3.0)
    np.testing.assert_allclose(found[i], expected, rtol=1e-5)


def test_extremes_are_finite_without_a_gradient():
  old, sampler = jnp.array([0.0, -1e5, 0.0]), jnp.array([-1e5, 0.0, 0.0])

  def total(old, sampler):
    return jnp.sum(_weights(old, sampler))

  assert _weights(old, sampler).tolist() == [2.0, 0.0, 1.0]
  for grad in jax.grad(total, (0, 1))(old, sampler):
    np.testing.assert_array_equal(grad, np.zeros(3))


@pytest.mark.parametrize("cap", [0.0, 0.99, math.inf, math.nan])
def test_a_cap_out_of_range_is_refused(cap):
  with pytest.raises(ValueError, match=f"cap={cap} must be at least 1"):
    _weights([0.0], [0.0], cap=cap)
