# SPDX-License-Identifier: Apache-2.0
"""Robust DPO: unbiased, and what it is not."""

import jax.numpy as jnp
import numpy as np

from ramjax.losses.dpo import dpo_loss
from ramjax.losses.robust_dpo import robust_dpo_loss


def _arrays(chosen, rejected, ref_chosen=0.0, ref_rejected=0.0):
  """One pair, by its four log-probabilities."""
  return dict(
    chosen_logps=jnp.array([chosen]),
    rejected_logps=jnp.array([rejected]),
    ref_chosen_logps=jnp.array([ref_chosen]),
    ref_rejected_logps=jnp.array([ref_rejected]),
  )


def test_expectation_over_swapped_labels_is_dpo():
  arrays, swapped = (
    _arrays(-3.0, -6.0, -4.0, -4.5),
    _arrays(-6.0, -3.0, -4.5, -4.0),
  )
  robust = dict(beta=0.5, label_smoothing=0.2)
  mean = 0.8 * robust_dpo_loss(**arrays, **robust).losses
  mean += 0.2 * robust_dpo_loss(**swapped, **robust).losses
  np.testing.assert_allclose(mean, dpo_loss(**arrays, beta=0.5).losses, 1e-6)


def test_without_noise_it_is_dpo():
  arrays = _arrays(-3.0, -6.0, -4.0, -4.5)
  robust = robust_dpo_loss(**arrays, beta=0.5, label_smoothing=0.0)
  plain = dpo_loss(**arrays, beta=0.5)
  np.testing.assert_allclose(robust.losses, plain.losses, rtol=1e-6)


def test_it_is_not_smoothed_dpo():
  arrays = _arrays(-3.0, -6.0, -4.0, -4.5)
  robust = robust_dpo_loss(**arrays, beta=0.5, label_smoothing=0.2)
  smoothed = dpo_loss(**arrays, beta=0.5, label_smoothing=0.2)
  assert robust.losses[0] < smoothed.losses[0]
