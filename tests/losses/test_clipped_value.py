# SPDX-License-Identifier: Apache-2.0
"""The value loss: each case by hand, gradients, extremes, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses.clipped_value import clipped_value


# Jitted: each operation by itself would be a program to compile.
@functools.partial(jax.jit, static_argnames="clip")
def _jitted(*inputs, clip):
  def total(values, old_values, returns):
    losses = clipped_value(
      values=values, old_values=old_values, returns=returns, clip=clip
    )
    return jnp.sum(losses), losses

  return jax.grad(total, (0, 1, 2), has_aux=True)(*inputs)


def _losses_and_gradients(values, old_values, returns, clip):
  inputs = (np.float32(x) for x in (values, old_values, returns))
  grads, losses = jax.device_get(_jitted(*inputs, clip=clip))
  np.testing.assert_array_equal(grads[1], np.zeros(len(values)))
  np.testing.assert_array_equal(grads[2], np.zeros(len(values)))
  return losses, grads[0]


def test_without_a_clip_it_is_half_the_square():
  losses, grads = _losses_and_gradients(
    [1.0, 3.0], [9.0, 9.0], [2.0, 2.0], None
  )
  np.testing.assert_array_equal(losses, [0.5, 0.5])
  np.testing.assert_array_equal(grads, [-1.0, 1.0])


@pytest.mark.parametrize(
  "value,return_,loss,gradient",
  [
    # The old value is 0, the clip 0.5: v_clip is within [-0.5, 0.5].
    (0.25, 2.0, 1.75**2 / 2, -1.75),  # Within reach.
    (1.0, 2.0, 1.5**2 / 2, 0.0),  # Moved enough: as if at 0.5.
    (1.0, -2.0, 3.0**2 / 2, 3.0),  # Moved the wrong way: the larger error.
    (-1.0, 2.0, 3.0**2 / 2, -3.0),
    (-1.0, -2.0, 1.5**2 / 2, 0.0),
    (3.0, 1.5, 1.5**2 / 2, 1.5),  # Past the return, by more than v_clip lacks.
    (0.5, 0.5, 0.0, 0.0),
    (0.0, 1.0, 0.5, -1.0),
  ],
)
def test_cases_by_hand(value, return_, loss, gradient):
  losses, grads = _losses_and_gradients([value], [0.0], [return_], 0.5)
  np.testing.assert_allclose(losses, [loss], rtol=1e-6)
  np.testing.assert_allclose(grads, [gradient], rtol=1e-6)


def test_equals_a_loop():
  rng = np.random.default_rng(3)
  values, old_values, returns = rng.normal(0, 1, (3, 100)).astype(np.float32)
  losses = np.asarray(
    _losses_and_gradients(values, old_values, returns, 0.2)[0]
  )
  for i in range(100):
    value, old, goal = (float(x[i]) for x in (values, old_values, returns))
    near = min(max(value, old - 0.2), old + 0.2)
    expected = 0.5 * max((value - goal) ** 2, (near - goal) ** 2)
    np.testing.assert_allclose(losses[i], expected, rtol=1e-4, atol=1e-7)


def test_a_value_that_has_not_moved_always_has_its_gradient():
  # old + (value - old) is not the value in float32, and may look clipped.
  rng = np.random.default_rng(4)
  old_values = rng.normal(0, 100, 200).astype(np.float32)
  values = old_values + rng.normal(0, 1e-3, 200).astype(np.float32)
  returns = old_values + 5.0
  _, grads = _losses_and_gradients(values, old_values, returns, 0.2)
  np.testing.assert_allclose(grads, values - returns, rtol=1e-6)


def test_extremes_are_finite_and_padding_is_zero():
  far = [1e15, -1e15, 0.0]
  losses, grads = _losses_and_gradients(far, [0.0] * 3, [-1e15, 0.0, 0.0], 0.2)
  assert np.all(np.isfinite(losses)) and np.all(np.isfinite(grads))
  assert (losses[2], grads[2]) == (0.0, 0.0)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_out_of_range_is_refused(clip):
  with pytest.raises(ValueError, match=f"clip={clip} must be above 0"):
    _losses_and_gradients([0.0], [0.0], [0.0], clip)
