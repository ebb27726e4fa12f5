# SPDX-License-Identifier: Apache-2.0
"""SimPO: hand value, and where the margin enters."""

import jax.numpy as jnp
import numpy as np

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
  # 2 (-4 / 4) - 2 (-6 / 3) - 0.5 = 1.5.
  out = simpo_loss(**_arrays(-4.0, -6.0, (4, 3)), beta=2.0, gamma=0.5)
  np.testing.assert_allclose(out.losses, np.log1p(np.exp([-1.5])), rtol=1e-6)
  assert out.chosen_rewards.tolist() == [-2.0]
  assert out.rejected_rewards.tolist() == [-4.0]


def test_the_margin_is_not_scaled_by_beta():
  # Equal responses: log(1 + exp(gamma)) at any beta.
  for beta in (0.5, 10.0):
    out = simpo_loss(**_arrays(-4.0, -4.0), beta=beta, gamma=1.25)
    np.testing.assert_allclose(out.losses, np.log1p(np.exp([1.25])), rtol=1e-6)
