# SPDX-License-Identifier: Apache-2.0
"""KTO: bounded gains and losses around an estimate of the divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.kto import batch_statistics, kto_loss

_OPTIONS = dict(beta=0.5, desirable_weight=1.0, undesirable_weight=1.0)


def _loss(**changes):
  arrays = dict(
    logps=jnp.array([-3.0, -3.0]),
    ref_logps=jnp.array([-7.0, -7.0]),
    labels=jnp.array([True, False]),
    kl=jnp.float32(2.0),
  )
  return kto_loss(**arrays | _OPTIONS | changes)


def _statistics(kl_logps, ref_kl_logps, mask):
  return batch_statistics(
    mask=jnp.array(mask),
    kl_logps=jnp.array(kl_logps),
    ref_kl_logps=jnp.array(ref_kl_logps),
  )


def test_a_gain_above_the_divergence_is_good_or_bad_by_label():
  # 0.5 (4 - 2) = 1: sigmoid(-1) and sigmoid(1).
  out = _loss()
  np.testing.assert_allclose(out.losses, [0.26894142, 0.73105858], rtol=1e-6)
  np.testing.assert_allclose(out.rewards, [2.0, 2.0])


def test_weights_multiply_their_own_label():
  plain = _loss().losses
  weighted = _loss(desirable_weight=3.0, undesirable_weight=0.25).losses
  np.testing.assert_allclose(weighted, plain * jnp.array([3.0, 0.25]))


def test_losses_stay_between_zero_and_their_weight():
  out = _loss(logps=jnp.array([1e4, 1e4]))
  np.testing.assert_array_equal(out.losses, [0, 1])


def test_the_divergence_is_a_constant():
  grad = jax.grad(lambda kl: jnp.sum(_loss(kl=kl).losses))(jnp.float32(2.0))
  assert grad == 0


def test_the_divergence_is_the_mean_over_real_rows():
  out = _statistics([1.0, 2.0, 9.0], [0.0, -1.0, 0.0], [True, True, False])
  assert set(out) == {"kl"} and out["kl"] == 2 and out["kl"].shape == ()


def test_a_negative_estimate_of_the_divergence_is_zero():
  assert _statistics([-1.0, -2.0], [0.0, 0.0], [True, True])["kl"] == 0


def test_a_mean_above_zero_counts_rows_below_zero_too():
  assert _statistics([4.0, -2.0], [0.0, 0.0], [True, True])["kl"] == 1


def test_a_nan_in_a_masked_row_does_not_count():
  assert _statistics([2.0, np.nan], [0.0, 0.0], [True, False])["kl"] == 2


def test_no_real_row_has_no_divergence():
  assert _statistics([2.0], [0.0], [False])["kl"] == 0


def test_no_gradient_flows_through_the_divergence():
  grad = jax.grad(
    lambda logps: batch_statistics(
      mask=jnp.ones(2, bool), kl_logps=logps, ref_kl_logps=jnp.zeros(2)
    )["kl"]
  )(jnp.ones(2))
  assert not grad.any()


@pytest.mark.parametrize(
  "change,match",
  [
    (dict(beta=0.0), "beta=0.0"),
    (dict(desirable_weight=-1.0), "desirable_weight=-1.0"),
    (dict(undesirable_weight=-1.0), "undesirable_weight=-1.0"),
  ],
)
def test_bad_hyperparameters_are_refused(change, match):
  with pytest.raises(ValueError, match=rf"^{match}"):
    _loss(**change)
