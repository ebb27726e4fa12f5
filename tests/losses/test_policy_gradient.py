# SPDX-License-Identifier: Apache-2.0
"""REINFORCE: hand values, where gradients flow, agreement with PPO at 1."""

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.losses.clipped_policy import clipped_policy
from ramjax.losses.policy_gradient import policy_gradient


def test_hand_values_and_gradients():
  def total(logps, advantages):
    losses = policy_gradient(logps=logps, advantages=advantages)
    return jnp.sum(losses), losses

  # The last is padding.
  logps = jnp.array([-3.0, -1e4, 0.0])
  advantages = jnp.array([0.5, -2.0, 0.0])
  grads, losses = jax.grad(total, (0, 1), has_aux=True)(logps, advantages)
  assert losses.tolist() == [1.5, -2e4, 0.0]
  np.testing.assert_array_equal(grads[0], -advantages)
  np.testing.assert_array_equal(grads[1], np.zeros(3))


def test_equals_a_loop():
  rng = np.random.default_rng(2)
  logps, advantages = rng.normal(0, 1, (2, 20)).astype(np.float32)
  losses = policy_gradient(
    logps=jnp.asarray(logps), advantages=jnp.asarray(advantages)
  )
  for i in range(20):
    expected = -float(advantages[i]) * float(logps[i])
    np.testing.assert_allclose(losses[i], expected, rtol=1e-6)


def test_it_has_the_gradient_of_ppo_before_the_policy_moves():
  advantages = jnp.array([0.5, -2.0, 1.0])

  def surrogate(log_ratios):
    out = clipped_policy(
      log_ratios=log_ratios, advantages=advantages, clip_low=0.2, clip_high=0.2
    )
    return jnp.sum(out.losses)

  def reinforce(logps):
    return jnp.sum(policy_gradient(logps=logps, advantages=advantages))

  np.testing.assert_array_equal(
    jax.grad(surrogate)(jnp.zeros(3)), jax.grad(reinforce)(jnp.full(3, -4.0))
  )
