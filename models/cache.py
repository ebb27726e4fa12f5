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
  """Keys (already rotated) and values of every layer, heads before slots."""

  key: jax.Array  # [L, B, K, S, H]
  value: jax.Array  # [L, B, K, S, H]


def init_cache(config: LlamaConfig, *, batch_size: int, length: int) -> Cache:
  """An empty cache of `length` slots for each of `batch_size` rows."""
  shape = (
    config.num_layers,
    batch_size,
    config.num_kv_heads,
    length,
    config.head_dim,
  )
  dtype = jnp.dtype(config.dtype)
  # Two arrays: a loop is given both, and one buffer cannot be given away twice.
  return Cache(key=jnp.zeros(shape, dtype), value=jnp.zeros(shape, dtype))


def write_slots(
  stored: jax.Array, new: jax.Array, layer: jax.Array, slots: jax.Array
) -> jax.Array:
  """`stored` [L, B, K, S, H] with `new` [B, T, K, H] in a layer's `slots`.

  Args:
    stored: Of every layer: a loop over layers that carries it whole writes in
      place, where one that is handed each layer's part would copy the rest.
    new: Of one layer.
    layer: [] int32, which.
    slots: [B, T] int32.

  Returns:
    As `stored`.
  """
  rows = jnp.arange(stored.shape[1])[:, None]
  # Indices apart from one another put their axes first: [B, T, K, H].
  return stored.at[layer, rows, :, slots].set(new.astype(stored.dtype))


def read_layer(stored: jax.Array, layer: jax.Array, span: int) -> jax.Array:
  """The first `span` slots of one layer: [B, K, span, H]."""
  _, batch, kv_heads, _, head_dim = stored.shape
  return jax.lax.dynamic_slice(
    stored,
    (layer, 0, 0, 0, 0),
    (1, batch, kv_heads, span, head_dim),
  )[0]
