# SPDX-License-Identifier: Apache-2.0
"""NCA: each response has an optimum or a direction of its own."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.losses.nca import nca_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_the_chosen_reward_has_an_optimum():
  # -sigma(-r) + sigma(r) / 2 = 0 where sigma(r) = 2/3: r = log 2.
  arrays = _arrays(math.log(2.0), -1.0)
  grads = jax.grad(lambda x: jnp.sum(nca_loss(**x, beta=1.0).losses))(arrays)
  assert abs(grads["chosen_logps"][0]) < 1e-6
  # sigma(-1) / 2: the rejected response is always pushed down.
  expected = 0.5 / (1 + math.e)
  np.testing.assert_allclose(grads["rejected_logps"], [expected], rtol=1e-6)
