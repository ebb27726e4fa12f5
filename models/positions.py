# SPDX-License-Identifier: Apache-2.0
"""Rotary position embedding (RoPE), with the scalings Llama uses.

Rotation pairs component i with i + H/2 (the "half-split" layout of Hugging
Face weights), RoFormer, arXiv 2104.09864, section 3.2.2.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models.config import LlamaConfig


def rope_frequencies(config: LlamaConfig) -> np.ndarray:
  """Radians per position of each rotated pair, scaling applied.

  Every step rounds to float32, as in the code the released weights were
  trained with: at position 100,000 one unit in the last place of a frequency
  turns its pair by 0.006 rad, which logits show in their third decimal.

  Args:
    config: `head_dim`, `rope_theta` and `rope_scaling` are read.

  Returns:
    [H/2] float32, highest frequency first.
  """
  f32 = np.float32
  exponents = np.arange(0, config.head_dim, 2, dtype=f32) / f32(config.head_dim)
  powers = np.power(np.float64(config.rope_theta), exponents.astype(np.float64))
  frequencies = f32(1) / powers.astype(f32)
  scaling = config.rope_scaling
  if scaling is None:
    return frequencies
  slowed = frequencies / f32(scaling.factor)
  if scaling.kind == "linear":
    return slowed
  # llama3: how many turns a pair makes over the original context decides
  # between keeping its frequency (many turns) and slowing it (few).
  turns = f32(scaling.original_max_positions) * frequencies / f32(2 * math.pi)
  low, high = f32(scaling.low_freq_factor), f32(scaling.high_freq_factor)
  keep = np.clip((turns - low) / (high - low), f32(0), f32(1))
  return (f32(1) - keep) * slowed + keep * frequencies


def rope_angles(
  positions: jax.Array, config: LlamaConfig
) -> tuple[jax.Array, jax.Array]:
  """Cosines and sines of every position's rotation.

  Args:
    positions: [B, T] int32, from 0 at the start of each row or segment.
    config: See `rope_frequencies`.

  Returns:
    Two [B, T, 1, H/2] float32 arrays. An angle near position 131,072 needs
    all of float32: bf16 would round it by hundreds of radians.
  """
  frequencies = jnp.asarray(rope_frequencies(config))
  angles = positions[:, :, None].astype(jnp.float32) * frequencies[None, None]
  return jnp.cos(angles)[:, :, None, :], jnp.sin(angles)[:, :, None, :]


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
  """Rotates the pairs of `x` [B, T, N, H] by the angles of `rope_angles`."""
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = jnp.concatenate(
    [first * cos - second * sin, second * cos + first * sin], axis=-1
  )
  return rotated.astype(x.dtype)
