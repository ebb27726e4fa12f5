# SPDX-License-Identifier: Apache-2.0
"""Length-normalised DPO: DPO for one token, blind to length."""

import jax.numpy as jnp
import numpy as np

from ramjax.losses.dpo import dpo_loss
from ramjax.losses.dpo_norm import dpo_norm_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def _lengths(chosen, rejected):
  return dict(
    chosen_lengths=jnp.array([chosen], jnp.int32),
    rejected_lengths=jnp.array([rejected], jnp.int32),
  )


def test_for_responses_of_one_token_it_is_dpo():
  arrays = _arrays(-3.0, -6.0, -4.0, -4.5)
  norm = dpo_norm_loss(**arrays, **_lengths(1, 1), beta=0.5)
  assert norm.losses.tolist() == dpo_loss(**arrays, beta=0.5).losses.tolist()


def test_each_side_is_a_mean_over_its_own_tokens():
  # 5 (4 / 4 - 6 / 8) = 5 / 4.
  out = dpo_norm_loss(**_arrays(4.0, 6.0), **_lengths(4, 8), beta=5.0)
  np.testing.assert_allclose(out.losses, np.log1p(np.exp([-1.25])), rtol=1e-6)
  assert out.chosen_rewards.tolist() == [5.0]
  assert out.rejected_rewards.tolist() == [3.75]
