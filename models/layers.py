# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of a Llama layer, as functions of arrays.

Axis letters, here and in the whole package: B batch, T query length, S key
length, N query heads, K key-value heads, H head dim, D width, F MLP width, V
vocabulary, L layers.
"""

import jax
import jax.numpy as jnp


def linear(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`x` [..., in] times `kernel` [in, out], in `x`'s dtype.

  The leading axes are flattened first: XLA:CPU takes a slow path for the
  weight gradient of a matmul with two contracted axes (batch and time), 100
  against 56 ms for an MLP backward. On TPU and GPU the reshape is free.
  """
  rows = x.reshape(-1, x.shape[-1]) @ kernel.astype(x.dtype)
  return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def rms_norm(x: jax.Array, scale: jax.Array, eps: float) -> jax.Array:
  """RMSNorm over the last axis (arXiv 1910.07467), computed in float32."""
  wide = x.astype(jnp.float32)
  mean_square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
  normed = (wide * jax.lax.rsqrt(mean_square + eps)).astype(x.dtype)
  return normed * scale.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


def swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
  """The hidden layer of a gated MLP, silu(gate) * up (arXiv 2002.05202, eq. 6).

  Args:
    gate: [..., F], one projection of the input.
    up: [..., F], the other.

  Returns:
    [..., F], for the projection back to the width.
  """
  return jax.nn.silu(gate) * up
