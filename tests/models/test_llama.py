# SPDX-License-Identifier: Apache-2.0
"""The model: packing, caching, recomputing and sharding change no result."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.data.batches import TokenBatch
from ramjax.evals import likelihood
from ramjax.losses.sft import sft_loss
from ramjax.models import cache as cache_lib
from ramjax.models import llama, sharding

_LISTING = pathlib.Path(__file__).parents[1] / "golden/llama_tiny_params.txt"

# Two blocks of attention: the border at 64 falls inside a segment.
_LENGTH = 128
# Segments of each row; empty rows make packed and unpacked batches one shape.
_PACKED = ((50, 70), (30, 60, 20), (), (), (), (), (), ())
_UNPACKED = ((50,), (70,), (30,), (60,), (20,), (), (), ())

_apply = jax.jit(llama.apply, static_argnames="config")


@functools.partial(jax.jit, static_argnames="config")
def _jitted_results(params, config, batch):

  def total(params):
    like = likelihood.likelihood(params, config, batch, chunk_size=64)
    losses = sft_loss(
      token_logps=like.logps, log_normalizers=like.log_normalizers
    )
    losses = jnp.where(like.mask, losses, 0).reshape(batch.tokens.shape)
    hidden = like.hidden.reshape(*batch.tokens.shape, -1)
    return jnp.sum(losses), (hidden, losses)

  (_, (hidden, losses)), grads = jax.value_and_grad(total, has_aux=True)(params)
  return hidden, losses, grads


def _results(params, config, batch):
  """Hidden states [B, T, D], losses [B, T] and the gradients of their sum."""
  return jax.device_get(_jitted_results(params, config, batch))


def _batch(rows, length, config, seed=0):
  """Rows of segments of the given lengths; the tokens depend on `seed` only."""
  rng = np.random.default_rng(seed)
  fields = [np.zeros((len(rows), length), np.int32) for _ in range(3)]
  tokens, segment_ids, positions = fields
  response_mask = np.zeros((len(rows), length), bool)
  for i, sizes in enumerate(rows):
    start = 0
    for segment, size in enumerate(sizes, 1):
      part = i, slice(start, start + size)
      tokens[part] = rng.integers(0, config.vocab_size, size)
      # Of the first token too, which only packing gives a predecessor.
      response_mask[part] = (rng.random(size) < 0.6) | (np.arange(size) == 0)
      segment_ids[part] = segment
      positions[part] = np.arange(size)
      start += size
  return TokenBatch(tokens, response_mask, segment_ids, positions)


def _parts():
  """Of each packed example: its row and its slice."""
  for i, sizes in enumerate(_PACKED):
    for segment, size in enumerate(sizes):
      start = sum(sizes[:segment])
      yield i, slice(start, start + size)


def _assert_trees_close(given, expected, rtol=1e-5):
  """Leaf by leaf, to `rtol` of the leaf's largest value."""
  for (path, a), b in zip(
    jax.tree_util.tree_leaves_with_path(given),
    jax.tree.leaves(expected),
    strict=True,
  ):
    b = np.asarray(b)
    np.testing.assert_allclose(
      a, b, rtol=0, atol=rtol * np.abs(b).max(), err_msg=str(path)
    )


@pytest.fixture(scope="module")
def packed(config, params):
  """The packed batch, and its results."""
  batch = _batch(_PACKED, _LENGTH, config)
  return batch, _results(params, config, batch)


def test_a_layer_is_traced_once_however_many_there_are(monkeypatch, config):
  attend, calls = llama.attention.attend, []
  shapes, _ = llama.abstract_params(config)

  def counted(*args, **options):
    calls.append(None)
    return attend(*args, **options)

  monkeypatch.setattr(llama.attention, "attend", counted)
  jax.eval_shape(
    lambda params, tokens: llama.apply(
      params, config, tokens, positions=tokens
    ),
    shapes,
    jax.ShapeDtypeStruct((1, 8), jnp.int32),
  )
  assert len(calls) == 1 < config.num_layers


def test_packed_rows_equal_unpacked_rows(config, params, packed):
  # The same tokens: they are drawn in the same order.
  batch = _batch(_UNPACKED, _LENGTH, config)
  hidden, losses, grads = _results(params, config, batch)
  packed_hidden, packed_losses, packed_grads = packed[1]
  for row, (i, part) in enumerate(_parts()):
    alone = slice(part.stop - part.start)
    np.testing.assert_array_equal(
      packed[0].tokens[i, part], batch.tokens[row, alone]
    )
    np.testing.assert_allclose(
      packed_hidden[i, part], hidden[row, alone], rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
      np.sum(packed_losses[i, part]), np.sum(losses[row]), rtol=1e-5
    )
    assert np.count_nonzero(losses[row]) > 5
  _assert_trees_close(packed_grads, grads)


def _hidden(params, config, batch):
  return np.asarray(
    _apply(
      params,
      config,
      batch.tokens,
      positions=batch.positions,
      segment_ids=batch.segment_ids,
    )
  )


@pytest.mark.parametrize("changed", range(5))
def test_no_bit_of_an_example_depends_on_its_neighbours(
  config, params, packed, changed
):
  batch, _ = packed
  tokens, others = batch.tokens.copy(), np.ones(batch.tokens.shape, bool)
  where = list(_parts())[changed]
  tokens[where] = (tokens[where] + 1) % config.vocab_size
  others[where] = False
  before = _hidden(params, config, batch)
  after = _hidden(params, config, batch._replace(tokens=tokens))
  np.testing.assert_array_equal(before[others], after[others])
  # Not one of its own states stayed.
  assert np.all(np.any(before != after, axis=-1)[~others])


def test_no_bit_depends_on_later_tokens_or_padding(config, params, packed):
  batch, _ = packed
  tokens, kept = batch.tokens.copy(), batch.segment_ids > 0
  kept[0, 100:] = False
  tokens[~kept] = (tokens[~kept] + 1) % config.vocab_size
  before = _hidden(params, config, batch)
  after = _hidden(params, config, batch._replace(tokens=tokens))
  np.testing.assert_array_equal(before[kept], after[kept])


def test_cached_decoding_equals_the_full_forward(config, params):
  # Right-padded prompts of 4 and 9 tokens, then 5 tokens one at a time, each
  # written over the padding as `slots.decode` does.
  lengths, rows = np.array([4, 9]), np.arange(2)
  batch = _batch(_UNPACKED, _LENGTH, config)
  full = _hidden(params, config, batch)
  tokens, at = batch.tokens[:2], batch.positions[:2, :9]
  prompts = np.where(at < lengths[:, None], tokens[:, :9], 63)
  cache = cache_lib.init_cache(config, batch_size=2, length=14)
  hidden, cache = _apply(params, config, prompts, positions=at, cache=cache)
  hidden = np.asarray(hidden)
  for row, length in enumerate(lengths):
    np.testing.assert_allclose(
      hidden[row, :length], full[row, :length], rtol=1e-5, atol=1e-5
    )
  for step in range(5):
    slots = (lengths + step).astype(np.int32)
    hidden, cache = _apply(
      params,
      config,
      tokens[rows, slots][:, None],
      positions=slots[:, None],
      cache=cache,
    )
    np.testing.assert_allclose(
      np.asarray(hidden)[:, 0], full[rows, slots], rtol=1e-5, atol=1e-5
    )


def test_cache_with_segments_is_refused(config, params):
  cache = cache_lib.init_cache(config, batch_size=1, length=2)
  ones = jnp.ones((1, 2), jnp.int32)
  with pytest.raises(ValueError, match="segment_ids and cache were both given"):
    llama.apply(
      params, config, ones, positions=ones, segment_ids=ones, cache=cache
    )


def test_cache_with_branches_is_refused(config, params):
  cache = cache_lib.init_cache(config, batch_size=1, length=2)
  ones = jnp.ones((1, 2), jnp.int32)
  with pytest.raises(ValueError, match="branch_ids and cache were both given"):
    llama.apply(
      params, config, ones, positions=ones, branch_ids=ones, cache=cache
    )


# A prefix of 40 tokens and branches of 30 and 50; then another segment.
_BRANCHES = np.repeat([0, 1, 2, 1], [40, 30, 50, 8])[None].astype(np.int32)
_BRANCH_SEGMENTS = np.repeat([1, 2], [120, 8])[None].astype(np.int32)
_BRANCH_POSITIONS = np.concatenate(
  [np.arange(70), np.arange(40, 90), np.arange(8)]
)[None].astype(np.int32)


@pytest.mark.parametrize(
  "remat", ["none", pytest.param("dots", marks=pytest.mark.slow)]
)
def test_branches_equal_rows_of_their_own(config, params, remat):
  config = dataclasses.replace(config, remat=remat)
  rng = np.random.default_rng(6)
  tokens = rng.integers(0, config.vocab_size, (1, 128)).astype(np.int32)
  hidden = _apply(
    params,
    config,
    tokens,
    positions=_BRANCH_POSITIONS,
    segment_ids=_BRANCH_SEGMENTS,
    branch_ids=_BRANCHES,
  )
  rows = np.zeros((3, 128), np.int32)
  of_row = [np.r_[0:70], np.r_[0:40, 70:120], np.r_[120:128]]
  for row, places in zip(rows, of_row, strict=True):
    row[: len(places)] = tokens[0, places]
  positions = np.broadcast_to(np.arange(128), rows.shape)
  alone = _apply(params, config, rows, positions=positions)
  for i, places in enumerate(of_row):
    np.testing.assert_allclose(
      np.asarray(hidden)[0, places],
      np.asarray(alone)[i, : len(places)],
      rtol=1e-5,
      atol=1e-5,
    )


def test_one_branch_changes_no_bit_of_the_model(config, params, packed):
  batch, _ = packed
  given = dict(positions=batch.positions, segment_ids=batch.segment_ids)
  np.testing.assert_array_equal(
    _apply(params, config, batch.tokens, **given),
    _apply(
      params,
      config,
      batch.tokens,
      branch_ids=np.zeros_like(batch.tokens),
      **given,
    ),
  )


def test_branches_need_full_attention(config, params):
  config = dataclasses.replace(config, sliding_window=8)
  ones = jnp.ones((1, 2), jnp.int32)
  with pytest.raises(ValueError, match="sliding_window=8"):
    _apply(params, config, ones, positions=ones, branch_ids=ones)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("remat", ["none", "full"])
def test_states_have_the_dtype_of_the_config(config, params, dtype, remat):
  config = dataclasses.replace(config, dtype=dtype, remat=remat)
  tokens = jax.ShapeDtypeStruct((2, 5), jnp.int32)
  hidden = jax.eval_shape(
    lambda tokens: llama.apply(params, config, tokens, positions=tokens), tokens
  )
  assert hidden.dtype == dtype and hidden.shape == (2, 5, config.width)


def test_parameter_listing_is_the_golden_one(golden_maker):
  # A changed line means that checkpoints written before no longer load.
  assert golden_maker.params_listing() == _LISTING.read_text(), (
    "the checkpoint format changed. Meant so? Then write a converter and run"
    " tests/golden/make_llama_goldens.py."
  )


def test_init_gives_the_declared_shapes(config, fresh):
  shapes, axes = llama.abstract_params(config)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), fresh[0]) == jax.tree.map(
    lambda x: (x.shape, x.dtype), shapes
  )
  ranks = jax.tree.map(lambda shape, names: len(names), shapes, axes)
  assert ranks == jax.tree.map(lambda x: x.ndim, shapes)


def test_init_draws_matrices_of_the_released_deviation(fresh):
  for path, leaf in jax.tree_util.tree_leaves_with_path(fresh[0]):
    values = np.asarray(leaf)
    if path[-1].key == "scale":
      np.testing.assert_array_equal(values, 1)
      continue
    # 2048 values or more: the deviation is known to 1.6 % (one sigma).
    assert abs(values.std() / 0.02 - 1) < 0.06, path
    if path[0].key == "layers":
      assert np.any(values[0] != values[1])


def test_init_depends_on_the_key(fresh):
  for first, second in zip(*map(jax.tree.leaves, fresh), strict=True):
    assert first.ndim < 3 or np.all(np.any(first != second, axis=(1, 2)))
  first, second = (tree["embed"]["embedding"] for tree in fresh)
  assert np.any(first != second)


_FSDP = {"fsdp": 8}
_ALL = {"data": 2, "fsdp": 2, "tensor": 2}
_SEQUENCE = {"fsdp": 2, "sequence": 2, "tensor": 2}

# Mesh sizes, and the shard of three parameters [64, 32], [3, 32, 64] and
# [3, 48, 32] (vocab x embed, layers x embed x heads, layers x mlp x embed).
_MESHES = {
  "fsdp": (_FSDP, (64, 4), (3, 4, 64), (3, 48, 4)),
  "all": (
    _ALL,
    (32, 16),
    (3, 16, 32),
    (3, 24, 16),
  ),
}


@pytest.mark.parametrize(
  "name", [pytest.param("fsdp", marks=pytest.mark.slow), "all"]
)
def test_each_device_makes_its_shard_of_the_same_values(config, fresh, name):
  sizes, *shapes = _MESHES[name]
  mesh = sharding.make_mesh(sizes)
  sharded = llama.init_params(config, jax.random.key(0), mesh)
  jax.tree.map(np.testing.assert_array_equal, sharded, fresh[0])
  layers = sharded["layers"]
  leaves = [
    sharded["embed"]["embedding"],
    layers["attention"]["query"]["kernel"],
    layers["mlp"]["down"]["kernel"],
  ]
  for leaf, shape in zip(leaves, shapes, strict=True):
    shards = leaf.addressable_shards
    assert len({shard.device for shard in shards}) == 8
    assert {shard.data.shape for shard in shards} == {shape}
    # `data` replicates parameters; the other axes split them.
    parts = {str(shard.index) for shard in shards}
    assert len(parts) == 8 // sizes.get("data", 1)
  assert layers["attention_norm"]["scale"].is_fully_replicated


# One of the table, which splits every axis and recomputes, is not slow.
@pytest.mark.parametrize(
  "sizes,remat",
  [
    pytest.param(None, "dots", id="dots", marks=pytest.mark.slow),
    pytest.param(_FSDP, "none", id="fsdp", marks=pytest.mark.slow),
    pytest.param(_ALL, "full", id="all-full"),
    pytest.param(None, "full", id="full", marks=pytest.mark.slow),
    pytest.param({"data": 8}, "dots", id="data-dots", marks=pytest.mark.slow),
    pytest.param(_SEQUENCE, "none", id="sequence", marks=pytest.mark.slow),
    pytest.param(
      {"data": 2, "fsdp": 2, "sequence": 2},
      "save_attention",
      id="sequence-save",
      marks=pytest.mark.slow,
    ),
  ],
)
def test_neither_mesh_nor_recomputing_changes_a_result(
  config, params, packed, sizes, remat
):
  batch, (hidden, losses, grads) = packed
  config = dataclasses.replace(config, remat=remat)
  if sizes is None:
    new_hidden, new_losses, new_grads = _results(params, config, batch)
  else:
    mesh = sharding.make_mesh(sizes)
    with jax.set_mesh(mesh):
      new_hidden, new_losses, new_grads = _results(
        jax.device_put(params, llama.param_shardings(config, mesh)),
        config,
        sharding.place_batch(batch, mesh),
      )
  np.testing.assert_allclose(new_hidden, hidden, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(new_losses, losses, rtol=1e-5, atol=1e-5)
  _assert_trees_close(new_grads, grads)


def test_cached_decoding_in_a_window_equals_the_full_forward(config, params):
  # A window of 3, shorter than the prompt of 9.
  config = dataclasses.replace(config, sliding_window=3)
  tokens = np.random.default_rng(1).integers(0, 64, (2, 14), np.int32)
  at = np.broadcast_to(np.arange(14, dtype=np.int32), (2, 14))
  full = np.asarray(_apply(params, config, tokens, positions=at))
  cache = cache_lib.init_cache(config, batch_size=2, length=14)
  hidden, cache = _apply(
    params, config, tokens[:, :9], positions=at[:, :9], cache=cache
  )
  np.testing.assert_allclose(hidden, full[:, :9], rtol=1e-5, atol=1e-5)
  for step in range(9, 14):
    hidden, cache = _apply(
      params,
      config,
      tokens[:, step : step + 1],
      positions=at[:, step : step + 1],
      cache=cache,
    )
    np.testing.assert_allclose(
      np.asarray(hidden)[:, 0], full[:, step], rtol=1e-5, atol=1e-5
    )


def test_each_layer_of_a_window_reaches_one_window_further(config, params):
  # Three layers of a window of 3: a token reaches 3 * (3 - 1) later ones.
  config = dataclasses.replace(config, sliding_window=3)
  tokens = np.zeros((1, 14), np.int32)
  at = np.arange(14, dtype=np.int32)[None]
  before = _apply(params, config, tokens, positions=at)
  # A copy: the first call may not have read its argument yet.
  changed = tokens.copy()
  changed[0, 2] = 5
  after = _apply(params, config, changed, positions=at)
  differs = np.any(np.asarray(before != after)[0], axis=-1)
  np.testing.assert_array_equal(np.flatnonzero(differs), np.arange(2, 9))


def _with_biases(params, config, values):
  """The same layers with a bias of each projection, from (name, shape)."""
  heads = {"query": config.num_heads}
  heads["key"] = heads["value"] = config.num_kv_heads
  attention = dict(params["layers"]["attention"])
  for name, count in heads.items():
    shape = (config.num_layers, count * config.head_dim)
    attention[name] = attention[name] | {"bias": values(name, shape)}
  return params | {"layers": params["layers"] | {"attention": attention}}


def test_biases_are_added_where_there_are_any(config, params):
  biased = dataclasses.replace(config, qkv_bias=True)
  tokens = np.arange(6, dtype=np.int32)[None]
  plain = _apply(params, config, tokens, positions=tokens)
  zero = _with_biases(params, config, lambda _, shape: np.zeros(shape))
  same = _apply(zero, biased, tokens, positions=tokens)
  np.testing.assert_array_equal(same, plain)
  one = _with_biases(params, config, lambda _, shape: np.ones(shape))
  for changed in ("query", "key", "value"):
    attention = dict(zero["layers"]["attention"])
    attention[changed] = one["layers"]["attention"][changed]
    mixed = zero | {"layers": zero["layers"] | {"attention": attention}}
    moved = _apply(mixed, biased, tokens, positions=tokens)
    assert np.abs(np.asarray(moved - plain)).max() > 1e-3, changed


def test_biases_and_score_head_are_declared_and_drawn(config):
  config = dataclasses.replace(config, qkv_bias=True, num_labels=3)
  params = llama.init_params(config, jax.random.key(0))
  assert set(params) == {"embed", "layers", "final_norm", "score"}
  assert params["score"]["kernel"].shape == (config.width, 3)
  assert np.std(params["score"]["kernel"]) > 0
  for name, size in (("query", 64), ("key", 32), ("value", 32)):
    bias = params["layers"]["attention"][name]["bias"]
    np.testing.assert_array_equal(bias, np.zeros((config.num_layers, size)))
  assert "bias" not in params["layers"]["attention"]["output"]


def test_shapes_are_listed_by_path(config):
  shapes = llama.base_shapes(dataclasses.replace(config, num_labels=2))
  assert shapes["score", "kernel"] == (config.width, 2)
  assert ("lm_head", "kernel") not in shapes
  assert shapes["layers", "mlp", "down", "kernel"] == (3, 48, 32)
