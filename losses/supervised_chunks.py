# SPDX-License-Identifier: Apache-2.0
"""Supervised tokens, gathered chunk by chunk within each shard.

What `token_logps` and `token_gaps` share: only the tokens that a mask marks
reach the vocabulary, a fixed number at a time, and none crosses a device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Rows(NamedTuple):
  """Where the supervised tokens of each shard are."""

  order: jax.Array  # [shards, per_shard] int32, supervised tokens first
  count: jax.Array  # [shards] int32, how many those are


class Chunk(NamedTuple):
  """Supervised tokens of one chunk; T is shards times the chunk's size."""

  places: jax.Array  # [shards, chunk] int32, where in its shard each lies
  valid: jax.Array  # [shards, chunk] bool, False past the last one
  hidden: jax.Array  # [T, D], 0 where not valid
  targets: jax.Array  # [T] int


def shard_size(num_tokens: int, *, chunk_size: int, num_shards: int) -> int:
  """Tokens of each shard.

  Raises:
    ValueError: `chunk_size` below 1, or `num_shards` does not divide
      `num_tokens`.
  """
  if chunk_size < 1:
    raise ValueError(f"chunk_size={chunk_size} must be at least 1.")
  if num_shards < 1 or num_tokens % num_shards:
    raise ValueError(
      f"num_shards={num_shards} must divide the {num_tokens} tokens."
    )
  return num_tokens // num_shards


def supervised_first(mask: jax.Array) -> Rows:
  """Orders each shard of a [shards, per_shard] bool mask, True first."""
  order = jnp.argsort(~mask, axis=1, stable=True).astype(jnp.int32)
  return Rows(order, jnp.sum(mask, axis=1, dtype=jnp.int32))


def num_chunks(rows: Rows, chunk_size: int) -> jax.Array:
  """Chunks that the shard with the most supervised tokens needs."""
  return (jnp.max(rows.count) + chunk_size - 1) // chunk_size


def take_chunk(
  index: jax.Array,
  chunk_size: int,
  hidden: jax.Array,
  targets: jax.Array,
  rows: Rows,
) -> Chunk:
  """Chunk number `index` of [shards, per_shard, ...] hidden and targets."""
  slots = index * chunk_size + jnp.arange(chunk_size)
  valid = slots[None, :] < rows.count[:, None]
  # Past the end a place repeats the last token; `valid` keeps it from counting,
  # and whatever that row holds (0 * NaN is NaN) out of the kernel's gradient.
  slots = jnp.minimum(slots, rows.order.shape[1] - 1)
  places = rows.order[:, slots]
  x = jnp.take_along_axis(hidden, places[:, :, None], axis=1)
  x = jnp.where(valid[:, :, None], x, 0)
  chosen = jnp.take_along_axis(targets, places, axis=1)
  return Chunk(places, valid, x.reshape(-1, x.shape[-1]), chosen.reshape(-1))


def float32_logits(hidden: jax.Array, kernel: jax.Array) -> jax.Array:
  """[T, D] times [D, V] in their dtype, accumulated in float32."""
  return jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32)


def take_places(values: jax.Array, chunk: Chunk) -> jax.Array:
  """[T] of [shards, per_shard] values at a chunk's places; 0 if not valid."""
  picked = jnp.take_along_axis(values, chunk.places, axis=1)
  return jnp.where(chunk.valid, picked, 0).reshape(-1)
