# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe, from logits to the loss: gate, contrast and likelihood."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.cringe import cringe_token_losses
from ramjax.losses.pairwise_cringe import pairwise_cringe_loss
from ramjax.losses.token_gaps import token_gaps
from ramjax.losses.token_logps import token_logps

_WINNER = np.float32([[2.0, 1.0, 0.0, -1.0, 0.5], [0.0, 3.0, 1.0, 1.0, -2.0]])
_LOSER = np.float32([[1.0, 2.0, 0.5, 0.0, -1.0], [0.3, 0.2, 2.5, 1.5, 0.0]])
_OPTIONS: dict[str, Any] = dict(
  alpha=1.0,
  b=0.0,
  tau=1.0,
  stop_gradient_gate=True,
  logp_reduction="sum",
  token_reduction="sum",
)
# Jitted, here and below: each operation would be a program to compile.
_jitted = jax.jit(pairwise_cringe_loss, static_argnames=tuple(_OPTIONS))


@jax.jit
def _scored(logits, targets):
  """Log-probabilities and contrasts of two tokens with the given logits."""
  shared = dict(
    hidden=jnp.eye(2),
    kernel=logits,
    targets=targets,
    mask=jnp.ones(2, bool),
  )
  gaps = token_gaps(
    **shared, noise=jnp.zeros((2, 1)), stop_candidate_gradient=False
  )
  return token_logps(**shared).logps, cringe_token_losses(gaps)


def _from_logits(winner, loser, **options):
  chosen, _ = _scored(winner, np.array([0, 1]))
  rejected, contrast = _scored(loser, np.array([1, 3]))
  return pairwise_cringe_loss(
    chosen_logps=jnp.sum(chosen)[None],
    rejected_logps=jnp.sum(rejected)[None],
    rejected_gap_losses=jnp.sum(contrast)[None],
    chosen_lengths=jnp.array([2]),
    rejected_lengths=jnp.array([2]),
    **_OPTIONS | options,
  )


def _loss(**changes):
  arrays = dict(
    chosen_logps=np.float32([-6.0]),
    rejected_logps=np.float32([-8.0]),
    rejected_gap_losses=np.float32([4.0]),
    chosen_lengths=np.array([2]),
    rejected_lengths=np.array([4]),
  )
  return _jitted(**arrays | _OPTIONS | changes)


def test_parts_of_the_worked_example():
  chosen, _ = jax.device_get(_scored(_WINNER, np.array([0, 1])))
  rejected, contrast = jax.device_get(_scored(_LOSER, np.array([1, 3])))
  np.testing.assert_allclose(contrast, [1.313262, 0.313262], rtol=1e-5)
  np.testing.assert_allclose(-chosen.sum(), 0.857506, rtol=1e-5)
  margin = chosen.sum() - rejected.sum()
  np.testing.assert_allclose(margin, 1.2243676, rtol=1e-6)


@pytest.mark.parametrize(
  "options,loss",
  [
    (dict(b=0.0, tau=1.0, alpha=1.0), 0.5642938),
    (dict(b=0.0, tau=1.0, alpha=0.1), 0.2317481),
    (dict(b=10.0, tau=10.0, alpha=1.0), 1.7545125),
    (dict(b=-10.0, tau=10.0, alpha=1.0), 0.6099772),
  ],
)
@pytest.mark.parametrize("stop_gradient_gate", [True, False])
def test_losses_of_the_worked_example(options, loss, stop_gradient_gate):
  out = _from_logits(
    _WINNER, _LOSER, stop_gradient_gate=stop_gradient_gate, **options
  )
  np.testing.assert_allclose(out.losses, [loss], rtol=2e-7)


def test_a_stopped_gate_is_a_weight():
  # At M = b the gate is 1/2: half the gradient of likelihood and contrast.
  def total(winner, loser):
    return jnp.sum(_from_logits(winner, loser, b=1.2243676).losses)

  grads = jax.jit(jax.grad(total, (0, 1)))(_WINNER, _LOSER)
  probs = np.exp(_WINNER) / np.exp(_WINNER).sum(axis=1, keepdims=True)
  expected = 0.5 * (probs - np.eye(5)[[0, 1]])
  np.testing.assert_allclose(grads[0], expected, atol=1e-6)
  up, down = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
  np.testing.assert_allclose(
    grads[1],
    [[-up / 2, up / 2, 0, 0, 0], [0, 0, -down / 2, down / 2, 0]],
    atol=1e-6,
  )


def test_an_open_gate_raises_the_margin_through_its_own_gradient():
  # d g / d M = -1/4 at M = b, times likelihood + contrast = 6 + 4.
  @functools.partial(jax.jit, static_argnums=2)
  @functools.partial(jax.grad, argnums=(0, 1))
  def gradients(chosen, rejected, stop):
    return jnp.sum(
      _loss(
        chosen_logps=chosen,
        rejected_logps=rejected,
        b=2.0,
        stop_gradient_gate=stop,
      ).losses
    )

  at = (np.float32([-6.0]), np.float32([-8.0]))
  weight = gradients(*at, True)
  through = gradients(*at, False)
  np.testing.assert_allclose(weight, [[-0.5], [0.0]])
  np.testing.assert_allclose(through, [[-0.5 - 10 / 4], [10 / 4]])


def test_the_gate_reduces_apart_from_its_terms():
  # Margins: 2 of sums, -3 - -2 = -1 of means. Terms: 6 + 4, or 3 + 1.
  gate_of_sums, gate_of_means = 1 / (1 + np.exp(2)), 1 / (1 + np.exp(-1))
  for logp_reduction, gate in [("sum", gate_of_sums), ("mean", gate_of_means)]:
    for token_reduction, terms in [("sum", 10), ("mean", 4)]:
      out = _loss(
        logp_reduction=logp_reduction, token_reduction=token_reduction
      )
      np.testing.assert_allclose(out.losses, [gate * terms], rtol=1e-6)


def test_rewards_are_what_the_gate_compares():
  out = _loss(logp_reduction="mean")
  assert (out.chosen_rewards, out.rejected_rewards) == (-3, -2)
  out = _loss()
  assert (out.chosen_rewards, out.rejected_rewards) == (-6, -8)


def test_a_small_tau_is_a_hard_margin():
  assert _loss(b=1.0, tau=1e-3).losses == 0
  assert _loss(b=3.0, tau=1e-3).losses == 10


def test_a_large_b_is_binary_cringe():
  assert _loss(b=1e6).losses == 10


@pytest.mark.parametrize("stop_gradient_gate", [True, False])
def test_a_row_of_padding_is_finite_in_value_and_gradient(stop_gradient_gate):
  zeros, none = np.zeros(1, np.float32), np.zeros(1, np.int32)
  names = ["chosen_logps", "rejected_logps", "rejected_gap_losses"]

  @jax.jit
  @jax.value_and_grad
  def total(arrays):
    out = _loss(
      **arrays,
      chosen_lengths=none,
      rejected_lengths=none,
      stop_gradient_gate=stop_gradient_gate,
      logp_reduction="mean",
      token_reduction="mean",
    )
    return jnp.sum(out.losses)

  value, grads = total(dict.fromkeys(names, zeros))
  assert value == 0
  assert all(np.isfinite(grad).all() for grad in grads.values())


@pytest.mark.parametrize(
  "change,match",
  [
    (dict(alpha=-1.0), "alpha=-1.0"),
    (dict(tau=0.0), "tau=0.0"),
    (dict(tau=float("nan")), "tau=nan"),
    (dict(b=float("inf")), "b=inf must be finite"),
    (dict(logp_reduction="max"), "logp_reduction='max'"),
    (dict(token_reduction="max"), "token_reduction='max'"),
  ],
)
def test_bad_hyperparameters_are_refused(change, match):
  with pytest.raises(ValueError, match=match):
    _loss(**change)
