# SPDX-License-Identifier: Apache-2.0
"""The cache: its shape, and writes that touch nothing but their slots."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import cache as cache_lib

# Jitted: each operation by itself would be a program to compile.
_write = jax.jit(cache_lib.write_layer)


def _random(seed, layers, rows, slots, kv_heads=2, head_dim=4):
  """A cache of noise."""
  lead = (layers, rows, kv_heads)
  return cache_lib.Cache(
    key=jnp.asarray(_noise(seed, *lead, head_dim, slots)),
    value=jnp.asarray(_noise(seed + 100, *lead, slots, head_dim)),
  )


def _noise(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _by_slot(cache):
  """Both as [L, B, S, K, H]."""
  return (
    np.asarray(cache.key).transpose(0, 1, 4, 2, 3),
    np.asarray(cache.value).transpose(0, 1, 3, 2, 4),
  )


def test_cache_has_a_slot_per_layer_row_and_kv_head(config):
  bfloat16 = dataclasses.replace(config, dtype="bfloat16")
  empty = cache_lib.init_cache(bfloat16, batch_size=5, length=7)
  # Layers, rows, KV heads, then head dim and slots in either order.
  assert empty.key.shape == (3, 5, 2, 16, 7)
  assert empty.value.shape == (3, 5, 2, 7, 16)
  assert empty.num_slots == 7
  assert empty.key.dtype == empty.value.dtype == jnp.bfloat16
  assert not np.any(np.asarray(empty.key, np.float32))
  assert not np.any(np.asarray(empty.value, np.float32))


def test_one_layer_has_what_a_write_would_have_put_there():
  empty = jax.tree.map(np.zeros_like, _random(0, layers=1, rows=2, slots=3))
  key, value = _noise(1, 2, 2, 3, 2, 4)
  slots = np.broadcast_to(np.arange(3), (2, 3))
  written = _write(empty, key, value, layer=0, slots=slots)
  for one, all_layers in zip(
    jax.jit(cache_lib.one_layer)(key, value), written, strict=True
  ):
    np.testing.assert_array_equal(one, np.asarray(all_layers)[0])


def test_each_row_is_written_in_its_own_slots_of_one_layer():
  before = _random(0, layers=3, rows=2, slots=5)
  key, value = _noise(1, 2, 2, 2, 2, 4)
  slots = np.array([[0, 1], [3, 2]])
  after = _write(before, key, value, layer=1, slots=jnp.asarray(slots))
  for old, new, put in zip(
    _by_slot(before), _by_slot(after), (key, value), strict=True
  ):
    expected = old.copy()
    for row in range(2):
      for t in range(2):
        expected[1, row, slots[row, t]] = put[row, t]
    np.testing.assert_array_equal(new, expected)


def test_a_later_write_replaces_and_keeps_the_dtype():
  stored = cache_lib.Cache(
    jnp.full((1, 1, 1, 1, 2), 5.0, jnp.bfloat16),
    jnp.full((1, 1, 1, 2, 1), 6.0, jnp.bfloat16),
  )
  new = jnp.full((1, 1, 1, 1), 7.0)
  written = _write(stored, new, new + 1, layer=0, slots=jnp.array([[1]]))
  assert written.key.dtype == written.value.dtype == jnp.bfloat16
  np.testing.assert_array_equal(written.key[0, 0, 0, 0], [5, 7])
  np.testing.assert_array_equal(written.value[0, 0, 0, :, 0], [6, 8])


def test_a_layer_is_read_up_to_the_span():
  stored = _random(0, layers=2, rows=3, slots=5)
  read = jax.jit(cache_lib.read_layer, static_argnums=2)(stored, 1, 3)
  key, value = jax.device_get((stored.key, stored.value))
  np.testing.assert_array_equal(read.key, key[1, ..., :3])
  np.testing.assert_array_equal(read.value, value[1, :, :, :3])


def test_rows_of_another_cache_replace_the_first_slots_of_some():
  before = _random(0, layers=2, rows=4, slots=5)
  prompts = _random(1, layers=2, rows=3, slots=2)
  after = jax.jit(cache_lib.put_rows)(
    before,
    prompts,
    # One prompt for two rows; row 4 is not there.
    rows=np.array([3, 0, 4]),
    source=np.array([2, 2, 1]),
  )
  for old, new, put in zip(
    _by_slot(before), _by_slot(after), _by_slot(prompts), strict=True
  ):
    expected = old.copy()
    expected[:, [3, 0], :2] = put[:, [2, 2]]
    np.testing.assert_array_equal(new, expected)
