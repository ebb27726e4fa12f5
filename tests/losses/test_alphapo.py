# SPDX-License-Identifier: Apache-2.0
"""AlphaPO: hand values and its limit SimPO."""

import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.alphapo import alphapo_loss
from ramjax.losses.simpo import simpo_loss


def _arrays(chosen, rejected, lengths=(1, 1)):
  """One pair without a reference."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    chosen_lengths=jnp.array([lengths[0]], jnp.int32),
    rejected_lengths=jnp.array([lengths[1]], jnp.int32),
  )


def test_hand_value():
  # p = 1/2 and 1/4 a token, alpha 1: rewards 2 (1 - 2) and 2 (1 - 4).
  out = alphapo_loss(
    **_arrays(2 * np.log(0.5), 3 * np.log(0.25), (2, 3)),
    beta=2.0,
    gamma=0.5,
    alpha=1.0,
  )
  np.testing.assert_allclose(out.chosen_rewards, [-2.0], rtol=1e-6)
  np.testing.assert_allclose(out.rejected_rewards, [-6.0], rtol=1e-6)
  np.testing.assert_allclose(out.losses, np.log1p(np.exp([-3.5])), rtol=1e-5)


def test_a_negative_alpha_bends_the_other_way():
  # alpha -1: rewards 2 (p - 1).
  out = alphapo_loss(
    **_arrays(np.log(0.5), np.log(0.25)), beta=2.0, gamma=0.0, alpha=-1.0
  )
  np.testing.assert_allclose(out.chosen_rewards, [-1.0], rtol=1e-6)
  np.testing.assert_allclose(out.rejected_rewards, [-1.5], rtol=1e-6)


@pytest.mark.parametrize("alpha", [1e-6, -1e-6])
def test_a_small_alpha_is_simpo(alpha):
  arrays = _arrays(-4.0, -6.0, (4, 3))
  bent = alphapo_loss(**arrays, beta=2.0, gamma=0.5, alpha=alpha)
  straight = simpo_loss(**arrays, beta=2.0, gamma=0.5)
  np.testing.assert_allclose(bent.losses, straight.losses, rtol=1e-5)
