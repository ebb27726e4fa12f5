# SPDX-License-Identifier: Apache-2.0
"""Supervised tokens first, and those in chunks.

What `token_logps`, `token_gaps` and `token_kl` share: only the tokens that a
mask marks reach the vocabulary, a fixed number at a time.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

_Carry = TypeVar("_Carry")


class Order(NamedTuple):
  """Tokens, the supervised ones first, otherwise in their order."""

  places: jax.Array  # [N] int32, where in the batch each lies
  count: jax.Array  # int32, how many are supervised

  @property
  def supervised(self) -> jax.Array:
    """[N] bool, in this order."""
    return jnp.arange(self.places.size) < self.count

  def take(self, values: jax.Array) -> jax.Array:
    """[N, ...] values in this order; 0 where not supervised.

    Selected, not multiplied: an unsupervised row may hold a NaN.
    """
    wide = self.supervised.reshape(-1, *[1] * (values.ndim - 1))
    return jnp.where(wide, values[self.places], jnp.zeros((), values.dtype))

  def put_back(self, values: jax.Array) -> jax.Array:
    """[N, ...] values in this order, as they lie in the batch.

    0 where not supervised.
    """
    wide = self.supervised.reshape(-1, *[1] * (values.ndim - 1))
    values = jnp.where(wide, values, jnp.zeros((), values.dtype))
    return values[jnp.argsort(self.places)]


class Chunk(NamedTuple):
  """Some tokens that lie beside each other in an `Order`."""

  start: jax.Array  # int32, place of the first
  valid: jax.Array  # [T] bool, False: not supervised, or in another chunk

  def take(self, values: jax.Array) -> jax.Array:
    """[T, ...] of [N, ...] values."""
    size = self.valid.size
    return jax.lax.dynamic_slice_in_dim(values, self.start, size)

  def put(self, values: jax.Array, own: jax.Array) -> jax.Array:
    """[N, ...] values with this chunk's [T, ...] replaced where valid."""
    wide = self.valid.reshape(-1, *[1] * (values.ndim - 1))
    own = jnp.where(wide, own, self.take(values))
    return jax.lax.dynamic_update_slice_in_dim(values, own, self.start, 0)


def supervised_first(mask: jax.Array) -> Order:
  """The order of an [N] bool mask, True first."""
  places = jnp.argsort(~mask, stable=True).astype(jnp.int32)
  return Order(places, jnp.sum(mask, dtype=jnp.int32))


def for_each(
  order: Order,
  chunk_size: int,
  body: Callable[[Chunk, _Carry], _Carry],
  carry: _Carry,
) -> _Carry:
  """Calls `body(chunk, carry)` for as many chunks as are needed.

  A number known at run time, and another on each device of a `jax.shard_map`:
  so no body may wait for other devices.

  Args:
    order: Of the tokens.
    chunk_size: Tokens of a chunk, where there are so many.
    body: From a chunk and the carry to the carry.
    carry: The first.

  Raises:
    ValueError: `chunk_size` is below 1.
  """
  if chunk_size < 1:
    raise ValueError(f"chunk_size={chunk_size} must be at least 1.")
  size = min(chunk_size, order.places.size)

  def step(index: jax.Array, carry: _Carry) -> _Carry:
    # The last chunk may begin early, to be whole: its first tokens were in the
    # one before.
    start = jnp.minimum(index * size, order.places.size - size)
    slots = start + jnp.arange(size)
    valid = (slots >= index * size) & (slots < order.count)
    return body(Chunk(start, valid), carry)

  return jax.lax.fori_loop(0, (order.count + size - 1) // size, step, carry)
