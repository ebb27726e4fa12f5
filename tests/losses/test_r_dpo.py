# SPDX-License-Identifier: Apache-2.0
"""R-DPO: what length explains is not asked of the policy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.dpo import dpo_loss
from ramjax.losses.r_dpo import r_dpo_loss


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


@pytest.mark.parametrize("longer", [-8, 0, 8])
def test_length_enters_as_reward_per_token(longer):
  # The same margin whether from the policy or from length: 1/8 a token.
  arrays = _arrays(0.0, 0.0)
  by_length = r_dpo_loss(
    **arrays, **_lengths(10 + longer, 10), beta=1.0, length_penalty=0.125
  )
  by_policy = dpo_loss(**_arrays(longer / 8, 0.0), beta=1.0)
  np.testing.assert_allclose(by_length.losses, by_policy.losses, rtol=1e-6)
  assert by_length.chosen_rewards.tolist() == [0.0]


def test_a_longer_chosen_response_pulls_less():
  def pull(length):
    def total(chosen):
      arrays = _arrays(0.0, 0.0) | {"chosen_logps": chosen}
      out = r_dpo_loss(
        **arrays, **_lengths(length, 10), beta=1.0, length_penalty=0.1
      )
      return jnp.sum(out.losses)

    return abs(jax.grad(total)(jnp.zeros(1))[0])

  assert pull(20) < pull(10) < pull(5)
