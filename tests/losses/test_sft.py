# SPDX-License-Identifier: Apache-2.0
"""The SFT loss: hand values, closed-form gradient, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.sft import sft_loss


def _uniform_over_four():
  """Logits (0, 0, 0, 0): every log-probability is -log 4, log Z is log 4."""
  return jnp.full(2, -np.log(4.0)), jnp.full(2, np.log(4.0))


def test_a_token_of_probability_one_quarter_costs_log_four():
  logps, log_z = _uniform_over_four()
  loss = sft_loss(token_logps=logps, log_normalizers=log_z)
  np.testing.assert_allclose(loss, [1.3862944, 1.3862944], rtol=1e-6)


def test_nothing_is_reduced_over_tokens():
  logps = jnp.array([-1.0, -2.0, -4.0])
  loss = sft_loss(token_logps=logps, log_normalizers=jnp.zeros(3))
  np.testing.assert_array_equal(loss, [1.0, 2.0, 4.0])


def test_label_smoothing_mixes_in_the_mean_over_the_vocabulary():
  # 0.9 * 1 + 0.1 * 3: target costs 1 nat, an average token 3.
  loss = sft_loss(
    token_logps=jnp.array([-1.0]),
    log_normalizers=jnp.zeros(1),
    mean_logps=jnp.array([-3.0]),
    label_smoothing=0.1,
  )
  np.testing.assert_allclose(loss, [1.2], rtol=1e-6)


def test_z_loss_adds_the_squared_log_normalizer():
  # 1 + 0.01 * 5^2.
  loss = sft_loss(
    token_logps=jnp.array([-1.0]), log_normalizers=jnp.array([5.0]), z_loss=0.01
  )
  np.testing.assert_allclose(loss, [1.25], rtol=1e-6)


def test_gradient_has_its_closed_form():
  # d/d(logp) = -(1 - eps), d/d(log Z) = 2 zeta log Z, d/d(mean) = -eps.
  def total(logps, log_z, mean):
    return jnp.sum(
      sft_loss(
        token_logps=logps,
        log_normalizers=log_z,
        mean_logps=mean,
        label_smoothing=0.2,
        z_loss=0.5,
      )
    )

  grads = jax.grad(total, argnums=(0, 1, 2))(
    jnp.array([-1.0, -2.0]), jnp.array([3.0, -4.0]), jnp.array([-5.0, -6.0])
  )
  np.testing.assert_allclose(grads[0], [-0.8, -0.8], rtol=1e-6)
  np.testing.assert_allclose(grads[1], [3.0, -4.0], rtol=1e-6)
  np.testing.assert_allclose(grads[2], [-0.2, -0.2], rtol=1e-6)


def test_plain_loss_reads_neither_normalizer_nor_mean():
  def total(log_z, mean):
    loss = sft_loss(
      token_logps=jnp.array([-1.0]), log_normalizers=log_z, mean_logps=mean
    )
    return jnp.sum(loss)

  grads = jax.grad(total, argnums=(0, 1))(jnp.ones(1), jnp.ones(1))
  assert grads[0] == 0 and grads[1] == 0


def test_extreme_log_probabilities_stay_finite():
  logps = jnp.array([-1e4, 0.0])
  loss = sft_loss(
    token_logps=logps,
    log_normalizers=jnp.array([1e4, -1e4]),
    mean_logps=jnp.array([-1e4, -1e4]),
    label_smoothing=0.1,
    z_loss=1e-4,
  )
  assert np.isfinite(loss).all()


def test_label_smoothing_without_the_mean_is_refused():
  logps, log_z = _uniform_over_four()
  with pytest.raises(ValueError, match="needs mean_logps"):
    sft_loss(token_logps=logps, log_normalizers=log_z, label_smoothing=0.1)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, 1.5])
def test_label_smoothing_out_of_range_is_refused(label_smoothing):
  logps, log_z = _uniform_over_four()
  with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
    sft_loss(
      token_logps=logps,
      log_normalizers=log_z,
      mean_logps=logps,
      label_smoothing=label_smoothing,
    )


def test_a_negative_z_loss_is_refused():
  logps, log_z = _uniform_over_four()
  with pytest.raises(ValueError, match=r"z_loss=-0\.1"):
    sft_loss(token_logps=logps, log_normalizers=log_z, z_loss=-0.1)


def test_arrays_that_would_broadcast_are_refused():
  with pytest.raises(TypeError, match="log_normalizers"):
    sft_loss(token_logps=jnp.zeros(3), log_normalizers=jnp.zeros((3, 1)))
