# SPDX-License-Identifier: Apache-2.0
"""Supervised tokens are gathered within a shard, once each, in chunks."""

import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import supervised_chunks

# Two shards of four tokens; the supervised ones are 1, 3 and 6, 7.
_MASK = jnp.array([[False, True, False, True], [False, False, True, True]])
_HIDDEN = jnp.arange(8.0).reshape(2, 4, 1)
_TARGETS = jnp.arange(10, 18).reshape(2, 4)


def test_supervised_tokens_come_first_and_in_order():
  rows = supervised_chunks.supervised_first(_MASK)
  np.testing.assert_array_equal(rows.order, [[1, 3, 0, 2], [2, 3, 0, 1]])
  np.testing.assert_array_equal(rows.count, [2, 2])
  assert rows.order.dtype == rows.count.dtype == jnp.int32


@pytest.mark.parametrize(
  "counts,chunk_size,chunks",
  [([0, 0], 4, 0), ([1, 0], 4, 1), ([4, 3], 4, 1), ([4, 5], 4, 2), ([7], 1, 7)],
)
def test_no_chunk_is_computed_without_a_supervised_token(
  counts, chunk_size, chunks
):
  rows = supervised_chunks.Rows(jnp.zeros((len(counts), 8)), jnp.array(counts))
  assert supervised_chunks.num_chunks(rows, chunk_size) == chunks


def test_a_chunk_holds_the_next_tokens_of_each_shard():
  rows = supervised_chunks.supervised_first(_MASK)
  chunk = supervised_chunks.take_chunk(jnp.int32(1), 1, _HIDDEN, _TARGETS, rows)
  np.testing.assert_array_equal(chunk.places, [[3], [3]])
  np.testing.assert_array_equal(chunk.hidden, [[3.0], [7.0]])
  np.testing.assert_array_equal(chunk.targets, [13, 17])
  assert chunk.valid.all()


def test_places_past_the_end_are_not_valid_and_hold_zeros():
  rows = supervised_chunks.supervised_first(_MASK)
  chunk = supervised_chunks.take_chunk(jnp.int32(0), 3, _HIDDEN, _TARGETS, rows)
  np.testing.assert_array_equal(chunk.valid, [[True, True, False]] * 2)
  np.testing.assert_array_equal(chunk.hidden[:, 0], [1, 3, 0, 6, 7, 0])
  np.testing.assert_array_equal(
    supervised_chunks.take_places(_HIDDEN[:, :, 0] + 1, chunk),
    [2, 4, 0, 7, 8, 0],
  )


def test_logits_of_bfloat16_are_accumulated_in_float32():
  # 256 + 1 has no bfloat16.
  logits = supervised_chunks.float32_logits(
    jnp.array([[256.0, 1.0]], jnp.bfloat16), jnp.ones((2, 1), jnp.bfloat16)
  )
  assert logits.dtype == jnp.float32 and logits[0, 0] == 257


def test_a_shard_is_an_equal_part():
  assert supervised_chunks.shard_size(24, chunk_size=5, num_shards=3) == 8


@pytest.mark.parametrize(
  "change,match",
  [
    (dict(chunk_size=0), "chunk_size=0 must be at least 1"),
    (dict(num_shards=0), "num_shards=0 must divide"),
    (dict(num_shards=5), "num_shards=5 must divide the 24 tokens"),
  ],
)
def test_bad_chunks_and_shards_are_refused(change, match):
  with pytest.raises(ValueError, match=match):
    supervised_chunks.shard_size(
      24, **dict(dict(chunk_size=1, num_shards=1), **change)
    )
