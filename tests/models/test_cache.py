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
  # Layers, rows, slots, KV heads, head dim.
  assert empty.key.shape == empty.value.shape == (3, 5, 7, 2, 16)
  assert empty.key.dtype == empty.value.dtype == jnp.bfloat16
  assert not np.any(np.asarray(empty.key, np.float32))


def test_each_row_is_written_in_its_own_slots():
  stored = jnp.zeros((2, 4, 1, 1))
  new = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
  written = _write(stored, new, jnp.array([[0, 1], [3, 2]]))
  np.testing.assert_array_equal(
    written[:, :, 0, 0], [[1, 2, 0, 0], [0, 0, 4, 3]]
  )


def test_a_later_write_replaces_and_keeps_the_dtype():
  stored = jnp.full((1, 2, 1, 1), 5.0, jnp.bfloat16)
  written = _write(stored, jnp.full((1, 1, 1, 1), 7.0), jnp.array([[1]]))
  assert written.dtype == jnp.bfloat16
  np.testing.assert_array_equal(written[0, :, 0, 0], [5, 7])
