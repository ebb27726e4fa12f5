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
  """Keys (already rotated) and values of every layer.

  Both are as their products want them, queries times keys and weights times
  values: slots are the keys' last axis and the values' last but one. With keys
  as values are, XLA:CPU takes twice as long for the attention of 32 rows to 384
  slots.
  """

  key: jax.Array  # [L, B, K, H, S]
  value: jax.Array  # [L, B, K, S, H]

  @property
  def num_slots(self) -> int:
    """S, slots of each row."""
    return self.value.shape[3]


def init_cache(config: LlamaConfig, *, batch_size: int, length: int) -> Cache:
  """An empty cache of `length` slots for each of `batch_size` rows."""
  rows = (config.num_layers, batch_size, config.num_kv_heads)
  dtype = jnp.dtype(config.dtype)
  return Cache(
    key=jnp.zeros((*rows, config.head_dim, length), dtype),
    value=jnp.zeros((*rows, length, config.head_dim), dtype),
  )


def one_layer(key: jax.Array, value: jax.Array) -> Cache:
  """Keys and values [B, T, K, H] of one layer, as a cache has them.

  Returns:
    A `Cache` without its first axis: [B, K, H, T] and [B, K, T, H].
  """
  return Cache(key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3))


def write_layer(
  cache: Cache,
  key: jax.Array,
  value: jax.Array,
  *,
  layer: jax.Array,
  slots: jax.Array,
) -> Cache:
  """`cache` with `key` and `value` in a layer's `slots`.

  Args:
    cache: Of every layer: a loop over layers that carries it whole writes in
      place, where one that is handed each layer's part would copy the rest.
    key: [B, T, K, H], of one layer.
    value: The same.
    layer: [] int32, which.
    slots: [B, T] int32.

  Returns:
    The cache.
  """
  rows = jnp.arange(slots.shape[0])[:, None]

  # Indices apart from one another put their axes first: [B, T, K, H].
  def put(stored: jax.Array, new: jax.Array, *place) -> jax.Array:
    return stored.at[place].set(new.astype(stored.dtype))

  every = slice(None)
  return Cache(
    key=put(cache.key, key, layer, rows, every, every, slots),
    value=put(cache.value, value, layer, rows, every, slots),
  )


def read_layer(cache: Cache, layer: jax.Array, span: int) -> Cache:
  """The first `span` slots of one layer: [B, K, H, span] and [B, K, span, H]."""
  _, batch, kv_heads, head_dim, _ = cache.key.shape
  start = (layer, 0, 0, 0, 0)
  rows = (1, batch, kv_heads)
  return Cache(
    key=jax.lax.dynamic_slice(cache.key, start, (*rows, head_dim, span))[0],
    value=jax.lax.dynamic_slice(cache.value, start, (*rows, span, head_dim))[0],
  )


def put_rows(
  cache: Cache, new: Cache, *, rows: jax.Array, source: jax.Array
) -> Cache:
  """`cache` with rows of another, of no more slots, in its first slots.

  Args:
    cache: Of B rows.
    new: Of other rows, the same layers.
    rows: [M] int32, where to; B or beyond is nowhere.
    source: [M] int32, which of `new`.

  Returns:
    The cache.
  """
  length = new.num_slots

  def taken(stored: jax.Array) -> jax.Array:
    return jnp.take(stored, source, axis=1)

  return Cache(
    key=cache.key.at[:, rows, :, :, :length].set(taken(new.key), mode="drop"),
    value=cache.value.at[:, rows, :, :length].set(
      taken(new.value), mode="drop"
    ),
  )
