# SPDX-License-Identifier: Apache-2.0
"""DiscoPOP: which of its two losses counts where."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.losses.discopop import discopop_loss
from ramjax.losses.dpo import dpo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_wrong_order_costs_what_dpo_says():
  # m = -2: the gate sigma(-40) is shut.
  arrays = _arrays(-2.0, 0.0)
  found = discopop_loss(**arrays, beta=1.0).losses
  np.testing.assert_allclose(found, dpo_loss(**arrays, beta=1.0).losses, 1e-6)


def test_right_order_costs_an_exponential():
  # m = 2: the gate sigma(40) is open.
  found = discopop_loss(**_arrays(2.0, 0.0), beta=1.0).losses
  np.testing.assert_allclose(found, [math.exp(-2)], rtol=1e-6)


def test_the_width_of_the_gate():
  # m = log 3, tau 1: g = 3/4; log(4/3) / 4 + (3/4) (1/3).
  found = discopop_loss(**_arrays(math.log(3.0), 0.0), beta=1.0, tau=1.0).losses
  np.testing.assert_allclose(found, [math.log(4 / 3) / 4 + 0.25], rtol=1e-6)


def test_an_exponential_beyond_float32_is_shut_out():
  # exp(1000) is infinite, the gate 0.
  arrays = _arrays(-1000.0, 0.0)
  value, grads = jax.value_and_grad(
    lambda x: jnp.sum(discopop_loss(**x, beta=1.0).losses)
  )(arrays)
  assert value == 1000.0
  assert grads["chosen_logps"].tolist() == [-1.0]
