# SPDX-License-Identifier: Apache-2.0
"""DNO: soft targets, and DPO at certainty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.dno import dno_loss
from ramjax.losses.dpo import dpo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_certainty_is_dpo():
  arrays = _arrays(-3.0, -6.0, -4.0, -4.5)
  dno = dno_loss(**arrays, preference_probs=jnp.ones(1), beta=0.5)
  dpo = dpo_loss(**arrays, beta=0.5)
  np.testing.assert_allclose(dno.losses, dpo.losses, rtol=1e-6)


def test_the_opposite_certainty_is_dpo_the_other_way_round():
  dno = dno_loss(
    **_arrays(-3.0, -6.0, -4.0, -4.5), preference_probs=jnp.zeros(1), beta=0.5
  )
  dpo = dpo_loss(**_arrays(-6.0, -3.0, -4.5, -4.0), beta=0.5)
  np.testing.assert_allclose(dno.losses, dpo.losses, rtol=1e-6)


@pytest.mark.parametrize("prob", [0.25, 0.5, 0.75])
def test_least_where_the_policy_has_the_probability(prob):
  # sigma(m) = p; there the loss is the entropy of p.
  def total(chosen):
    arrays = _arrays(0.0, 0.0) | {"chosen_logps": chosen}
    out = dno_loss(**arrays, preference_probs=jnp.array([prob]), beta=1.0)
    return jnp.sum(out.losses)

  best = jnp.array([np.log(prob / (1 - prob))], jnp.float32)
  value, grad = jax.value_and_grad(total)(best)
  entropy = -prob * np.log(prob) - (1 - prob) * np.log(1 - prob)
  np.testing.assert_allclose(value, entropy, rtol=1e-6)
  assert abs(grad[0]) < 1e-6
