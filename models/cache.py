# SPDX-License-Identifier: Apache-2.0
"""The key-value cache: an argument of the forward pass, and a result.

Slot s of a row holds position s, so a row needs no list of what it has seen:
its next slot is its length.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ramjax.models.config import LlamaConfig


class Cache(NamedTuple):
  """Keys (already rotated) and values of every layer."""

  key: jax.Array  # [L, B, S, K, H]
  value: jax.Array  # [L, B, S, K, H]


def init_cache(config: LlamaConfig, *, batch_size: int, length: int) -> Cache:
  """An empty cache of `length` slots for each of `batch_size` rows."""
  shape = (
    config.num_layers,
    batch_size,
    length,
    config.num_kv_heads,
    config.head_dim,
  )
  zeros = jnp.zeros(shape, jnp.dtype(config.dtype))
  return Cache(key=zeros, value=zeros)


def write_slots(
  stored: jax.Array, new: jax.Array, slots: jax.Array
) -> jax.Array:
  """`stored` [B, S, K, H] with `new` [B, T, K, H] in slots [B, T]."""
  rows = jnp.arange(stored.shape[0])[:, None]
  return stored.at[rows, slots].set(new.astype(stored.dtype))
