# SPDX-License-Identifier: Apache-2.0
"""APO-down: both responses fall, the rejected one further."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.losses.apo_down import apo_down_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_both_fall_once_they_are_told_apart():
  # r_c = 0, r_r = -3: sigma'(0) - sigma'(-3) > 0 pushes the chosen one down.
  arrays = _arrays(0.0, -3.0)
  grads = jax.grad(lambda x: jnp.sum(apo_down_loss(**x, beta=1.0).losses))(
    arrays
  )
  slope = math.exp(3) / (1 + math.exp(3)) ** 2
  np.testing.assert_allclose(grads["chosen_logps"], [0.25 - slope], rtol=1e-5)
  np.testing.assert_allclose(grads["rejected_logps"], [slope], rtol=1e-5)


def test_falling_together_lowers_the_loss():
  high = apo_down_loss(**_arrays(2.0, 0.0), beta=1.0)
  low = apo_down_loss(**_arrays(0.0, -2.0), beta=1.0)
  assert low.losses[0] < high.losses[0]
