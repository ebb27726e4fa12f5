# SPDX-License-Identifier: Apache-2.0
"""DPO plus SFT: the sum of its parts."""

import jax.numpy as jnp
import numpy as np

from ramjax.losses.dpo import dpo_loss
from ramjax.losses.rpo import rpo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_it_is_dpo_plus_the_likelihood_per_token():
  arrays = _arrays(-6.0, -5.0, -4.0, -4.5)
  lengths = jnp.array([4], jnp.int32)
  both = rpo_loss(**arrays, chosen_lengths=lengths, beta=0.5, nll_weight=2.0)
  dpo = dpo_loss(**arrays, beta=0.5)
  # Twice 6 nats over 4 tokens.
  np.testing.assert_allclose(both.losses, dpo.losses + 3.0, rtol=1e-6)
  assert both.chosen_rewards.tolist() == dpo.chosen_rewards.tolist()
