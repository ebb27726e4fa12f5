# SPDX-License-Identifier: Apache-2.0
"""EXO: the reverse KL divergence of two preferences."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.losses.exo import exo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_zero_where_the_policy_has_the_preference_of_the_data():
  # sigma(log 4) = 0.8 = 1 - 0.2.
  def total(chosen):
    arrays = _arrays(0.0, 0.0) | {"chosen_logps": chosen}
    return jnp.sum(exo_loss(**arrays, beta=1.0, label_smoothing=0.2).losses)

  value, grad = jax.value_and_grad(total)(jnp.log(jnp.array([4.0])))
  assert abs(value) < 1e-6 and abs(grad[0]) < 1e-6


def test_wrong_order_for_certain_costs_the_log_of_the_doubt():
  # q -> 0: -log eps. And q -> 1: -log(1 - eps).
  options = dict(beta=1.0, label_smoothing=0.125)
  wrong = exo_loss(**_arrays(-200.0, 0.0), **options).losses
  right = exo_loss(**_arrays(200.0, 0.0), **options).losses
  np.testing.assert_allclose(wrong, [-math.log(0.125)], rtol=1e-6)
  np.testing.assert_allclose(right, [-math.log(0.875)], rtol=1e-5)
