# SPDX-License-Identifier: Apache-2.0
"""Layer arithmetic: hand values of RMSNorm and SwiGLU, in both dtypes."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import layers

# Jitted: each operation by itself would be a program to compile.
_linear = jax.jit(layers.linear)
_rms_norm = jax.jit(layers.rms_norm, static_argnames="eps")
_swiglu = jax.jit(layers.swiglu)


def test_linear_multiplies_the_last_axis():
  x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
  output = np.asarray(_linear(x, np.float32([[1.0], [10.0]])))
  np.testing.assert_array_equal(output[..., 0], [[10, 32, 54], [76, 98, 120]])


def test_linear_runs_in_the_dtype_of_the_activations():
  x = np.ones((1, 2, 4), jnp.bfloat16)
  assert _linear(x, np.ones((4, 3), np.float32)).dtype == jnp.bfloat16


def test_rms_norm_hand_value():
  # Mean square of (3, 4) is 12.5; with eps = 3.5 the root is 4.
  x = np.float32([[[3.0, 4.0]]])
  normed = _rms_norm(x, np.float32([1.0, 2.0]), eps=3.5)
  np.testing.assert_allclose(normed, [[[0.75, 2.0]]], rtol=1e-6)


def test_rms_norm_subtracts_no_mean():
  x = np.full((1, 1, 4), 5.0, np.float32)
  normed = _rms_norm(x, np.ones(4, np.float32), eps=0.0)
  np.testing.assert_allclose(normed, np.ones((1, 1, 4)), rtol=1e-6)


def test_rms_norm_of_bfloat16_is_computed_in_float32():
  # In bfloat16 the sum of 512 squares would stop growing at 256 ones.
  x = jnp.asarray([[[3.0] + [1.0] * 511]], jnp.bfloat16)
  normed = layers.rms_norm(x, jnp.ones(512), eps=0.0)
  assert normed.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    normed.astype(jnp.float32)[0, 0, :2],
    np.array([3.0, 1.0]) / math.sqrt(520 / 512),
    rtol=2**-8,
  )


def test_rms_norm_does_not_overflow_on_large_activations():
  x = np.full((1, 1, 2), 1e15, np.float32)
  normed = _rms_norm(x, np.ones(2, np.float32), eps=1e-5)
  np.testing.assert_allclose(normed, np.ones((1, 1, 2)), rtol=1e-6)


def test_swiglu_hand_value():
  # gate = log 3: silu is log 3 times sigmoid(log 3) = 3/4; times up = 2.
  gated = _swiglu(gate=np.float32([[math.log(3)]]), up=np.float32([[2.0]]))
  np.testing.assert_allclose(gated, [[1.5 * math.log(3)]], rtol=1e-6)


def test_swiglu_gate_and_up_are_not_symmetric():
  rng = np.random.default_rng(0)
  gate, up = rng.normal(size=(2, 3, 4)).astype(np.float32)
  np.testing.assert_allclose(
    _swiglu(gate, up),
    gate / (1 + np.exp(-gate)) * up,
    rtol=1e-5,
    atol=1e-6,
  )
