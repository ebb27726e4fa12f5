# SPDX-License-Identifier: Apache-2.0
"""CPO: DPO under a uniform reference, plus SFT."""

import jax.numpy as jnp
import numpy as np

from ramjax.losses.cpo import cpo_loss
from ramjax.losses.dpo import dpo_loss


def _arrays(chosen, rejected, length):
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    chosen_lengths=jnp.array([length], jnp.int32),
  )


def test_two_terms_by_hand():
  # beta (-4 + 6) = 1; the likelihood 4 nats over 2 tokens, half of it.
  out = cpo_loss(**_arrays(-4.0, -6.0, 2), beta=0.5, nll_weight=0.5)
  np.testing.assert_allclose(out.losses, 1 + np.log1p(np.exp([-1.0])), 1e-6)
  assert out.chosen_rewards.tolist() == [-2.0]
  assert out.rejected_rewards.tolist() == [-3.0]


def test_the_second_term_counts_once_unless_told():
  arrays = _arrays(-4.0, -6.0, 2)
  told = cpo_loss(**arrays, beta=0.5, nll_weight=1.0)
  assert cpo_loss(**arrays, beta=0.5).losses.tolist() == told.losses.tolist()


def test_without_the_second_term_it_is_dpo_without_a_reference():
  zero = jnp.zeros(1)
  dpo = dpo_loss(
    chosen_logps=jnp.array([-4.0]),
    rejected_logps=jnp.array([-6.0]),
    ref_chosen_logps=zero,
    ref_rejected_logps=zero,
    beta=0.5,
  )
  cpo = cpo_loss(**_arrays(-4.0, -6.0, 2), beta=0.5, nll_weight=0.0)
  np.testing.assert_allclose(cpo.losses, dpo.losses, rtol=1e-6)
