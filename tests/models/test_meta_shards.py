# SPDX-License-Identifier: Apache-2.0
"""Joining shards and undoing the order of pairs, against plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.models import meta_shards, positions
from ramjax.models.tensors import TensorError

_Q = "model.layers.1.self_attn.q_proj.weight"
_K = "model.layers.1.self_attn.k_proj.weight"
_V = "model.layers.1.self_attn.v_proj.weight"
_O = "model.layers.1.self_attn.o_proj.weight"
_NORM = "model.layers.1.input_layernorm.weight"
_EMBEDDING = "model.embed_tokens.weight"


def _array(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _shards(name, parts):
  return [{meta_shards.stored_as(name).name: part} for part in parts]


def _rows(name, parts, shape, head_dim=4):
  joined = meta_shards.join(name, _shards(name, parts), shape, head_dim)
  return joined.rows(0, shape[0])


def test_rows_move_as_derived_by_hand():
  # Two heads of 4: rows 0 to 3 are the pairs (0, 1) and (2, 3).
  rows = np.arange(8)[:, None]
  halves = meta_shards.in_halves(rows, 4)[:, 0]
  assert halves.tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_rows_move_as_in_the_published_formula():
  heads, head_dim, width = 3, 8, 5
  w = _array(heads * head_dim, width)
  expected = w.reshape(heads, heads * head_dim // heads // 2, 2, width)
  expected = expected.transpose(0, 2, 1, 3).reshape(heads * head_dim, width)
  np.testing.assert_array_equal(meta_shards.in_halves(w, head_dim), expected)


def test_attention_scores_are_those_of_interleaved_rope(config):
  """Meta's own computation: pairs (2i, 2i + 1) as complex numbers."""
  head_dim, width, length = config.head_dim, config.width, 6
  wq, wk = _array(head_dim, width), _array(head_dim, width, seed=1)
  x = _array(length, width, seed=2)
  i = np.arange(0, head_dim, 2)
  angles = np.outer(np.arange(length), config.rope_theta ** -(i / head_dim))

  def turned(weight):
    pairs = (x @ weight.T).reshape(length, -1, 2)
    return (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)

  expected = (turned(wq) @ turned(wk).conj().T).real

  at = jnp.arange(length)[None]
  cos_sin = positions.rope_angles(at, config)

  def ours(weight):
    projected = x @ meta_shards.in_halves(weight, head_dim).T
    return positions.rotate(projected[None, :, None], *cos_sin)[0, :, 0]

  np.testing.assert_allclose(
    ours(wq) @ ours(wk).T, expected, rtol=1e-4, atol=1e-4
  )

  # Left as they are, the rows give other scores.
  def unconverted(weight):
    rotated = positions.rotate((x @ weight.T)[None, :, None], *cos_sin)
    return rotated[0, :, 0]

  wrong = unconverted(wq) @ unconverted(wk).T
  assert np.max(np.abs(wrong - expected)) > 1


@pytest.mark.parametrize("num_shards", [1, 2, 4])
def test_any_rows_of_a_split_tensor_are_those_of_the_whole(num_shards):
  whole = _array(16, 6)
  shards = _shards(_Q, np.split(whole, num_shards))
  joined = meta_shards.join(_Q, shards, (16, 6), 4)
  expected = meta_shards.in_halves(whole, 4)
  for start in range(16):
    for stop in range(start + 1, 17):
      rows = joined.rows(start, stop)
      np.testing.assert_array_equal(rows, expected[start:stop])


def test_a_shard_may_hold_part_of_a_head():
  whole = _array(8, 6)
  rows = _rows(_K, np.split(whole, 4), (8, 6))
  np.testing.assert_array_equal(rows, meta_shards.in_halves(whole, 4))


def test_values_are_not_turned():
  whole = _array(16, 6)
  rows = _rows(_V, np.split(whole, 2), (16, 6))
  np.testing.assert_array_equal(rows, whole)


def test_narrowing_matrices_are_split_along_columns():
  whole = _array(6, 16)
  parts = np.split(whole, 4, axis=1)
  np.testing.assert_array_equal(_rows(_O, parts, (6, 16)), whole)
  joined = meta_shards.join(_O, _shards(_O, parts), (6, 16), 4)
  np.testing.assert_array_equal(joined.rows(2, 5), whole[2:5])


@pytest.mark.parametrize("axis", [0, 1])
def test_embeddings_are_split_either_way(axis):
  whole = _array(12, 8)
  parts = np.split(whole, 2, axis=axis)
  assert meta_shards.vocab_size(parts[0].shape, 2, 8) == 12
  np.testing.assert_array_equal(_rows(_EMBEDDING, parts, (12, 8)), whole)


def test_an_embedding_that_is_split_neither_way_is_refused():
  with pytest.raises(TensorError, match="neither its rows nor its columns"):
    meta_shards.vocab_size((12, 5), 2, 8)


def test_more_shards_than_kv_heads_hold_them_in_groups():
  # 2 KV heads over 4 shards: shards 0 and 1 serve the queries of the first.
  whole = _array(8, 6)
  first, second = np.split(whole, 2)
  parts = [first, first.copy(), second, second.copy()]
  np.testing.assert_array_equal(_rows(_V, parts, (8, 6)), whole)
  np.testing.assert_array_equal(
    _rows(_K, parts, (8, 6)), meta_shards.in_halves(whole, 4)
  )
  with pytest.raises(TensorError, match="must be the same in 2 shards"):
    _rows(_V, [first, second, first, second], (8, 6))


def test_copies_must_be_equal_to_the_byte():
  norm = _array(6)
  other = norm.copy()
  np.testing.assert_array_equal(_rows(_NORM, [norm, other], (6,)), norm)
  other[5] += 1
  with pytest.raises(TensorError, match=r"'layers\.1\.attention_norm\.weight'"):
    _rows(_NORM, [norm, other], (6,))


def test_parts_that_do_not_make_up_the_whole_are_refused():
  whole = _array(16, 6)
  parts = np.split(whole, 4)
  with pytest.raises(TensorError, match=r"\[4, 6\] in each of 3 shards"):
    _rows(_Q, parts[:3], (16, 6))
  # Only KV heads may be repeated.
  with pytest.raises(TensorError, match="makes the whole"):
    _rows(_Q, [whole, whole], (16, 6))
  with pytest.raises(TensorError, match="differs between the shards"):
    _rows(_Q, [whole[:8], whole[8:].astype(np.float16)], (16, 6))
  with pytest.raises(TensorError, match="missing from shard 01"):
    shards = [*_shards(_Q, [whole]), {}]
    meta_shards.join(_Q, shards, (16, 6), 4)


def test_nothing_is_copied_where_one_array_holds_the_rows():
  whole = _array(16, 6)
  joined = meta_shards.join(_V, _shards(_V, [whole]), (16, 6), 4)
  assert np.shares_memory(joined.rows(3, 9), whole)
