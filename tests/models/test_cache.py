# SPDX-License-Identifier: Apache-2.0
"""The cache: its shape, and writes that touch nothing but their slots."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import cache

_write = jax.jit(cache.write_slots)


def test_cache_has_a_slot_per_layer_row_and_kv_head(config):
  bfloat16 = dataclasses.replace(config, dtype="bfloat16")
  empty = cache.init_cache(bfloat16, batch_size=5, length=7)
  # Layers, rows, KV heads, slots, head dim.
  assert empty.key.shape == empty.value.shape == (3, 5, 2, 7, 16)
  assert empty.key.dtype == empty.value.dtype == jnp.bfloat16
  assert not np.any(np.asarray(empty.key, np.float32))


def test_each_row_is_written_in_its_own_slots_of_one_layer():
  stored = jnp.zeros((2, 2, 1, 4, 1))
  new = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
  written = _write(stored, new, 1, jnp.array([[0, 1], [3, 2]]))
  np.testing.assert_array_equal(
    written[1, :, 0, :, 0], [[1, 2, 0, 0], [0, 0, 4, 3]]
  )
  assert not np.any(written[0])


def test_heads_keep_their_values():
  stored = jnp.zeros((1, 1, 3, 2, 1))
  new = jnp.array([5.0, 6.0, 7.0]).reshape(1, 1, 3, 1)
  written = _write(stored, new, 0, jnp.array([[1]]))
  np.testing.assert_array_equal(
    written[0, 0, :, :, 0], [[0, 5], [0, 6], [0, 7]]
  )


def test_a_later_write_replaces_and_keeps_the_dtype():
  stored = jnp.full((1, 1, 1, 2, 1), 5.0, jnp.bfloat16)
  written = _write(stored, jnp.full((1, 1, 1, 1), 7.0), 0, jnp.array([[1]]))
  assert written.dtype == jnp.bfloat16
  np.testing.assert_array_equal(written[0, 0, 0, :, 0], [5, 7])


def test_a_layer_is_read_up_to_the_span():
  stored = jnp.arange(2 * 3 * 2 * 5 * 1.0).reshape(2, 3, 2, 5, 1)
  read = cache.read_layer(stored, jnp.int32(1), 3)
  np.testing.assert_array_equal(read, stored[1, :, :, :3])
