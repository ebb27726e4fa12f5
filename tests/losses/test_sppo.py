# SPDX-License-Identifier: Apache-2.0
"""SPPO: a goal for each response."""

import jax
import jax.numpy as jnp

from ramjax.losses.sppo import sppo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_zero_where_both_goals_are_met():
  # 1 / (2 beta) = 4.
  arrays = _arrays(-1.0, -9.0, -5.0, -5.0)
  value, grads = jax.value_and_grad(
    lambda x: jnp.sum(sppo_loss(**x, beta=0.125).losses)
  )(arrays)
  assert value == 0
  assert grads["chosen_logps"].tolist() == [0.0]
  assert grads["rejected_logps"].tolist() == [0.0]


def test_the_right_margin_at_the_wrong_place_costs():
  # The margin of 8 nats is right, both responses are 1 nat too likely: 1 + 1.
  out = sppo_loss(**_arrays(0.0, -8.0, -5.0, -5.0), beta=0.125)
  assert out.losses.tolist() == [2.0]
