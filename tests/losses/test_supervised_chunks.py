# SPDX-License-Identifier: Apache-2.0
"""Supervised tokens come first, and each is in one chunk."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import supervised_chunks

# Tokens 1, 3 and 4 of seven are supervised.
_MASK = np.array([False, True, False, True, True, False, False])
_VALUES = jnp.arange(10.0, 17.0)


# Jitted: each operation by itself would be a program to compile.
@functools.partial(jax.jit, static_argnames="chunk_size")
def _visited(mask, chunk_size):
  """How often each token was in a chunk, where it lay, and how many chunks."""
  order = supervised_chunks.supervised_first(mask)

  def body(chunk, carry):
    times, calls = carry
    return chunk.put(times, chunk.take(times) + 1), calls + 1

  times, calls = supervised_chunks.for_each(
    order, chunk_size, body, (jnp.zeros(mask.size), 0)
  )
  return order.put_back(times), calls


def test_supervised_tokens_come_first_and_in_order():
  order = supervised_chunks.supervised_first(_MASK)
  np.testing.assert_array_equal(order.places, [1, 3, 4, 0, 2, 5, 6])
  np.testing.assert_array_equal(order.count, 3)
  np.testing.assert_array_equal(order.supervised, [True] * 3 + [False] * 4)
  assert order.places.dtype == order.count.dtype == jnp.int32


def test_values_are_taken_in_order_and_put_back():
  order = supervised_chunks.supervised_first(_MASK)
  taken = order.take(_VALUES)
  np.testing.assert_array_equal(taken, [11, 13, 14, 0, 0, 0, 0])
  np.testing.assert_array_equal(order.put_back(taken), [0, 11, 0, 13, 14, 0, 0])


def test_a_nan_without_supervision_is_neither_taken_nor_put_back():
  order = supervised_chunks.supervised_first(_MASK)
  rows = jnp.stack([_VALUES, _VALUES], axis=1).at[0].set(jnp.nan)
  np.testing.assert_array_equal(order.take(rows)[3:], np.zeros((4, 2)))
  spoilt = jnp.full((7, 2), jnp.nan)
  assert np.isnan(order.put_back(spoilt)).any(axis=1).tolist() == _MASK.tolist()


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 6, 100])
@pytest.mark.parametrize(
  "mask", [_MASK, np.ones(7, bool), np.zeros(7, bool), np.arange(7) == 6]
)
def test_each_supervised_token_is_in_one_chunk(mask, chunk_size):
  times, calls = _visited(mask, chunk_size)
  np.testing.assert_array_equal(times, mask.astype(np.float32))
  assert calls == -(-int(mask.sum()) // min(chunk_size, 7))


def test_a_chunk_knows_the_tokens_of_the_one_before():
  # Four of five tokens a chunk: the second begins at the second token.
  order = supervised_chunks.supervised_first(jnp.ones(5, bool))

  def body(chunk, carry):
    del carry
    return chunk.start, chunk.valid

  start, valid = supervised_chunks.for_each(
    order, 4, body, (jnp.int32(0), jnp.zeros(4, bool))
  )
  assert start == 1 and valid.tolist() == [False, False, False, True]


def test_chunks_of_nothing_are_refused():
  order = supervised_chunks.supervised_first(_MASK)
  with pytest.raises(ValueError, match="chunk_size=0"):
    supervised_chunks.for_each(order, 0, lambda chunk, carry: carry, 0)
