# SPDX-License-Identifier: Apache-2.0
"""The clipped surrogate: every case by hand, gradients, extremes, refusals."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.clipped_policy import clipped_policy

# Jitted: each operation by itself would be a program to compile.
_jitted = jax.jit(
  clipped_policy, static_argnames=("clip_low", "clip_high", "dual_clip")
)
_BOUNDS = dict(clip_low=0.2, clip_high=0.28)


def _clipped(ratios, advantages, **bounds):
  arrays = dict(
    log_ratios=np.float32(np.log(ratios)), advantages=np.float32(advantages)
  )
  return _jitted(**arrays, **_BOUNDS | bounds)


@functools.partial(
  jax.jit, static_argnames=("clip_low", "clip_high", "dual_clip")
)
def _gradients(log_ratios, advantages, **bounds):
  """Of the sum of the losses by both, and what they were taken of."""

  def total(log_ratios, advantages):
    out = _jitted(log_ratios=log_ratios, advantages=advantages, **bounds)
    return jnp.sum(out.losses), out

  return jax.grad(total, (0, 1), has_aux=True)(log_ratios, advantages)


# Ratio, advantage, loss, is it clipped: with bounds 0.8 and 1.28.
_CASES = [
  (1.0, 2.0, -2.0, False),
  (1.2, 2.0, -2.4, False),
  (1.5, 2.0, -2.56, True),  # As much as 1.28.
  (0.5, 2.0, -1.0, False),  # It has fallen, and should rise.
  (1.0, -2.0, 2.0, False),
  (0.9, -2.0, 1.8, False),
  (0.5, -2.0, 1.6, True),  # As little as 0.8.
  (1.5, -2.0, 3.0, False),  # It has risen, and should fall.
  (8.0, -2.0, 16.0, False),
  (1.5, 0.0, 0.0, False),
]


@pytest.mark.parametrize("ratio,advantage,loss,is_clipped", _CASES)
def test_hand_values(ratio, advantage, loss, is_clipped):
  out = _clipped([ratio], [advantage])
  np.testing.assert_allclose(out.losses, [loss], rtol=1e-6)
  assert out.clipped.tolist() == [is_clipped]


@pytest.mark.parametrize("ratio,advantage,loss,is_clipped", _CASES)
def test_the_gradient_is_the_loss_itself_unless_clipped(
  ratio, advantage, loss, is_clipped
):
  # d(-rho A) / d log rho = -rho A.
  inputs = np.float32(np.log([ratio])), np.float32([advantage])
  grads, _ = _gradients(*inputs, **_BOUNDS)
  expected = 0.0 if is_clipped else loss
  np.testing.assert_allclose(grads[0], [expected], rtol=1e-6)
  assert grads[1].tolist() == [0.0]


def test_dual_clip_bounds_bad_tokens_and_no_others():
  ratios, advantages = [8.0, 2.0, 8.0, 0.5], [-2.0, -2.0, 2.0, -2.0]
  plain = _clipped(ratios, advantages)
  dual = _clipped(ratios, advantages, dual_clip=3.0)
  # 3 times the advantage in place of 8 times.
  np.testing.assert_allclose(
    dual.losses, [6.0, *plain.losses[1:].tolist()], rtol=1e-6
  )
  assert plain.clipped.tolist() == [False, False, True, True]
  assert dual.clipped.tolist() == [True, False, True, True]
  inputs = np.float32(np.log(ratios)), np.float32(advantages)
  grads, _ = _gradients(*inputs, **_BOUNDS, dual_clip=3.0)
  np.testing.assert_allclose(grads[0], [0.0, 4.0, 0.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("dual_clip", [None, 1.5, 3.0])
def test_equals_the_formula_token_by_token(dual_clip):
  rng = np.random.default_rng(1)
  log_ratios = rng.normal(0, 0.8, 200).astype(np.float32)
  advantages = rng.normal(0, 1.0, 200).astype(np.float32)
  out = _jitted(
    log_ratios=log_ratios,
    advantages=advantages,
    clip_low=0.1,
    clip_high=0.3,
    dual_clip=dual_clip,
  )
  losses, clipped = map(np.asarray, out)
  for i in range(200):
    ratio, advantage = math.exp(log_ratios[i]), float(advantages[i])
    within = min(max(ratio, 0.9), 1.3)
    surrogate = min(ratio * advantage, within * advantage)
    if dual_clip is not None and advantage < 0:
      surrogate = max(surrogate, dual_clip * advantage)
    np.testing.assert_allclose(losses[i], -surrogate, rtol=1e-5)
    is_clipped = abs(surrogate - ratio * advantage) > 1e-6
    assert clipped[i] == is_clipped


def test_ratios_beyond_float32_have_finite_losses_and_gradients():
  far = np.float32([1e4, 1e4, -1e4, -1e4])
  advantages = np.float32([-1.0, 1.0, -1.0, 1.0])
  grads, out = _gradients(far, advantages, clip_low=0.2, clip_high=0.2)
  np.testing.assert_allclose(
    out.losses, [math.exp(20), -1.2, 0.8, -math.exp(-20)], rtol=1e-6
  )
  np.testing.assert_array_equal(grads[0], np.zeros(4))


def test_padding_costs_nothing_and_pulls_at_nothing():
  log_ratios, zeros = np.float32([0.0, 9.0, -9.0, 0.0]), np.zeros(4, np.float32)
  grads, out = _gradients(log_ratios, zeros, **_BOUNDS, dual_clip=3.0)
  np.testing.assert_array_equal(grads[0], zeros)
  np.testing.assert_array_equal(out.losses, zeros)
  assert not np.any(out.clipped)


@pytest.mark.parametrize(
  "bounds,message",
  [
    ({"clip_low": 0.0}, r"clip_low=0.0 must be in \(0, 1\]"),
    ({"clip_low": 1.1}, r"clip_low=1.1 must be in \(0, 1\]"),
    ({"clip_high": 0.0}, "clip_high=0.0 must be above 0"),
    ({"clip_high": math.inf}, "clip_high=inf must be above 0 and finite"),
    ({"dual_clip": 1.0}, "dual_clip=1.0 must be above 1"),
    ({"dual_clip": math.nan}, "dual_clip=nan must be above 1"),
  ],
)
def test_bounds_out_of_range_are_refused(bounds, message):
  with pytest.raises(ValueError, match=message):
    _clipped([1.0], [1.0], **bounds)


def test_a_lower_bound_of_1_is_none():
  out = _clipped([1e-6], [-1.0], clip_low=1.0)
  np.testing.assert_allclose(out.losses, [1e-6], rtol=1e-4)
  assert out.clipped.tolist() == [False]
