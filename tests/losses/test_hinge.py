# SPDX-License-Identifier: Apache-2.0
"""The hinge: linear below its margin, nothing above."""

import jax
import jax.numpy as jnp
import pytest

from ramjax.losses.hinge import hinge_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


@pytest.mark.parametrize(
  "margin,loss,slope", [(-2.0, 2.0, -0.5), (1.0, 0.5, -0.5), (3.0, 0.0, 0.0)]
)
def test_a_pull_below_the_margin_only(margin, loss, slope):
  def total(chosen):
    arrays = _arrays(0.0, 0.0) | {"chosen_logps": chosen}
    return jnp.sum(hinge_loss(**arrays, beta=0.5).losses)

  value, grad = jax.value_and_grad(total)(jnp.array([margin]))
  assert (value, grad[0]) == (loss, slope)
