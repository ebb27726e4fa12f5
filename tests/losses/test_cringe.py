# SPDX-License-Identifier: Apache-2.0
"""Binary Cringe: likelihood for good answers, contrast for bad ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.cringe import cringe_loss, cringe_token_losses
from ramjax.losses.token_gaps import token_gaps

_OPTIONS = dict(alpha=0.5, contrast_positives=False, logp_reduction="sum")


# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(cringe_loss, static_argnames=tuple(_OPTIONS))


def _loss(**changes):
  arrays = dict(
    logps=np.float32([-3.0, -3.0]),
    gap_losses=np.float32([8.0, 8.0]),
    lengths=np.array([2, 4]),
    labels=np.array([True, False]),
  )
  return _jitted(**arrays | _OPTIONS | changes)


def test_a_token_loss_is_minus_the_log_of_the_candidates_share():
  # Logits 2 and 1: e^1 / (e^1 + e^2) = 0.2689414.
  loss = jax.jit(cringe_token_losses)(np.float32([1.0, -1.0, 0.0]))
  expected = -np.log([0.26894142, 0.73105858, 0.5])
  np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_a_token_loss_is_linear_far_above_and_zero_far_below():
  losses, grads = jax.jit(
    jax.vmap(jax.value_and_grad(lambda gap: cringe_token_losses(gap[None])[0]))
  )(np.float32([1e4, -1e4]))
  np.testing.assert_allclose(losses, [1e4, 0])
  np.testing.assert_allclose(grads, [1, 0])


def test_a_good_answer_costs_its_likelihood_and_a_bad_one_its_contrast():
  out = _loss()
  np.testing.assert_allclose(out.losses, [3.0, 0.5 * 8.0])
  np.testing.assert_allclose(out.rewards, [-3.0, -3.0])


def test_contrasting_positives_adds_their_contrast():
  out = _loss(contrast_positives=True)
  np.testing.assert_allclose(out.losses, [3.0 + 0.5 * 8.0, 0.5 * 8.0])


def test_mean_divides_everything_by_the_answers_own_length():
  out = _loss(contrast_positives=True, logp_reduction="mean")
  np.testing.assert_allclose(out.losses, [1.5 + 0.5 * 4.0, 0.5 * 2.0])
  np.testing.assert_allclose(out.rewards, [-1.5, -0.75])


def test_a_step_on_a_bad_token_moves_probability_to_the_candidate():
  # d loss / d logits: sigmoid(gap) for the target, its negative for s*.
  @jax.jit
  @jax.grad
  def gradient(logits):
    gaps = token_gaps(
      hidden=jnp.eye(1),
      kernel=logits,
      targets=jnp.array([1]),
      mask=jnp.array([True]),
      noise=jnp.zeros((1, 1)),
      stop_candidate_gradient=False,
    )
    return cringe_token_losses(gaps)[0]

  grad = gradient(np.float32([[1.0, 2.0, 0.5]]))
  share = 1 / (1 + np.exp(-1))
  np.testing.assert_allclose(grad, [[-share, share, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("alpha", [-0.5, float("nan"), float("inf")])
def test_a_bad_alpha_is_refused(alpha):
  with pytest.raises(ValueError, match=f"alpha={alpha}"):
    _loss(alpha=alpha)


def test_another_reduction_is_refused():
  with pytest.raises(ValueError, match="logp_reduction='max'"):
    _loss(logp_reduction="max")
