# SPDX-License-Identifier: Apache-2.0
"""SFT of the chosen response: a mean over its tokens."""

import jax
import jax.numpy as jnp

from ramjax.losses.chosen_nll import chosen_nll_loss


def test_mean_per_token_and_no_pull_on_the_rejected_response():
  def total(logps):
    out = chosen_nll_loss(
      **logps,
      chosen_lengths=jnp.array([4, 0], jnp.int32),
      rejected_lengths=jnp.array([3, 0], jnp.int32),
    )
    return jnp.sum(out.losses), out

  logps = dict(
    chosen_logps=jnp.array([-6.0, 0.0]), rejected_logps=jnp.array([-9.0, 0.0])
  )
  grads, out = jax.grad(total, has_aux=True)(logps)
  assert out.losses.tolist() == [1.5, 0.0]
  assert out.chosen_rewards.tolist() == [-1.5, 0.0]
  assert out.rejected_rewards.tolist() == [-3.0, 0.0]
  assert grads["chosen_logps"].tolist() == [-0.25, -1.0]
  assert grads["rejected_logps"].tolist() == [0.0, 0.0]
