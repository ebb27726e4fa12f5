# SPDX-License-Identifier: Apache-2.0
"""APO-zero: the chosen response rises, the rejected one falls."""

import jax
import jax.numpy as jnp

from ramjax.losses.apo_zero import apo_zero_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_each_response_by_itself():
  # sigma'(0) = 1/4, times beta.
  arrays = _arrays(-3.0, -6.0, -3.0, -6.0)
  grads = jax.grad(lambda x: jnp.sum(apo_zero_loss(**x, beta=0.5).losses))(
    arrays
  )
  assert grads["chosen_logps"].tolist() == [-0.125]
  assert grads["rejected_logps"].tolist() == [0.125]


def test_between_0_and_2():
  best = apo_zero_loss(**_arrays(200.0, -200.0), beta=1.0)
  worst = apo_zero_loss(**_arrays(-200.0, 200.0), beta=1.0)
  assert best.losses.tolist() == [0.0] and worst.losses.tolist() == [2.0]
