# SPDX-License-Identifier: Apache-2.0
"""IPO: its minimum, and the two lengths of a margin."""

import jax
import jax.numpy as jnp
import pytest

from ramjax.losses.ipo import ipo_loss


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


@pytest.mark.parametrize("reduction,goal", [("sum", 4.0), ("mean", 32.0)])
def test_least_where_the_margin_is_its_goal(reduction, goal):
  # 1 / (2 beta) = 4 nats; per token of 8, 32 nats of the response.
  def loss(chosen):
    arrays = _arrays(0.0, 0.0) | {"chosen_logps": chosen} | _lengths(8, 8)
    return jnp.sum(
      ipo_loss(**arrays, beta=0.125, logp_reduction=reduction).losses
    )

  value, grad = jax.value_and_grad(loss)(jnp.array([goal]))
  assert value == 0 and grad[0] == 0
  assert loss(jnp.array([goal + 1])) > 0 and loss(jnp.array([goal - 1])) > 0


def test_a_mean_is_over_the_tokens_of_each_response():
  # 6 / 2 - 6 / 3 = 1, minus 1 / (2 x 1/2).
  out = ipo_loss(
    **_arrays(6.0, 6.0), **_lengths(2, 3), beta=0.5, logp_reduction="mean"
  )
  assert out.losses.tolist() == [0.0]
  assert out.chosen_rewards.tolist() == [1.5]
  assert out.rejected_rewards.tolist() == [1.0]
