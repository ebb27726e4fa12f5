# SPDX-License-Identifier: Apache-2.0
"""Adapters worked into their base, block by block, and taken out again."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder
from tiny_adapters import CONFIG, KINDS, WIDE

from ramjax.models import hf_names, lora, merged_lora, tensors
from ramjax.models.merged_lora import MergedLora

# Jitted: each operation by itself would be a program to compile.
_merged_kernel = jax.jit(lora.merged_kernel)


def _all(source):
  return {
    name: source.rows(name, 0, spec.shape[0])
    for name, spec in source.specs.items()
  }


def _merged(kind, **options):
  config = tiny_adapters.adapted(kind)
  params = tiny_adapters.random_adapters(config)
  return MergedLora(
    tiny_adapters.base_source(config), config, params, **options
  )


@pytest.mark.parametrize("kind", KINDS)
def test_merged_rows_are_the_merged_kernels(kind):
  config, base = tiny_adapters.adapted(kind), tiny_adapters.base_source(CONFIG)
  params, merged = tiny_adapters.random_adapters(config), _merged(kind)
  assert merged.config == CONFIG and merged.specs == base.specs
  for name, at in hf_names.locations(CONFIG).items():
    expected = base.arrays[name]
    kind_of = "lm_head" if at.layer is None else "/".join(at.path[1:-1])
    module = KINDS[kind].module(kind_of) if at.path[-1] == "kernel" else None
    if module is not None and module.ranks[at.layer or 0]:
      leaves = lora.leaf_at(params, lora.module_path(kind_of))
      if at.layer is not None:
        leaves = {leaf: array[at.layer] for leaf, array in leaves.items()}
      scale = KINDS[kind].scales(kind_of)[at.layer or 0]
      expected = np.asarray(_merged_kernel(expected.T, leaves, scale)).T
    found = merged.rows(name, 0, len(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_merge_by_hand():
  config = tiny_adapters.adapted("ranks")
  merged = _all(_merged("ranks"))
  base = tiny_adapters.base_source(config).arrays
  query = tiny_adapters.random_adapters(config)["layers"]["attention"]["query"]
  # Rank 2 of alpha 8 in layer 0, nothing in layer 1.
  name = "model.layers.{}.self_attn.q_proj.weight"
  update = 4 * (query["lora_a"][0] @ query["lora_b"][0]).T
  np.testing.assert_allclose(
    merged[name.format(0)], base[name.format(0)] + update, atol=1e-6
  )
  np.testing.assert_array_equal(merged[name.format(1)], base[name.format(1)])


@pytest.mark.parametrize("kind", ["lora", "dora", "lm_head"])
def test_blocks_are_rows_of_the_whole(kind):
  merged = _merged(kind)
  for name, whole in _all(merged).items():
    for start, stop in ((0, 1), (3, 8), (len(whole) - 1, len(whole))):
      np.testing.assert_allclose(
        merged.rows(name, start, stop), whole[start:stop], rtol=0, atol=1e-6
      )


@pytest.mark.parametrize("kind", ["lora", "rslora", "ranks", "lm_head"])
def test_unmerging_gives_the_base_back(kind):
  config = tiny_adapters.adapted(kind)
  params = tiny_adapters.random_adapters(config)
  base = tiny_adapters.base_source(config).arrays
  again = _all(MergedLora(_merged(kind), config, params, unmerge=True))
  changed = _all(_merged(kind))
  assert any(np.any(changed[name] != base[name]) for name in base)
  for name, array in base.items():
    np.testing.assert_allclose(again[name], array, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
  "kind,fields", [("dora", {}), ("lora", {"num_labels": 1})]
)
def test_what_replaces_numbers_cannot_be_taken_out(kind, fields):
  config = tiny_adapters.adapted(kind, **fields)
  params = tiny_adapters.random_adapters(config)
  with pytest.raises(ValueError, match="cannot be taken out again"):
    MergedLora(tiny_adapters.base_source(config), config, params, unmerge=True)


def test_result_is_rounded_once():
  config = tiny_adapters.adapted("lora")
  plain = dataclasses.replace(config, lora=None)
  base = tiny_model_folder.RandomModel(plain, dtype="bfloat16", seed=0)
  params = tiny_adapters.random_adapters(config)
  wide = MergedLora(base, config, params, dtype="float32")
  own = MergedLora(base, config, params)
  assert {s.dtype for s in wide.specs.values()} == {"float32"}
  assert own.specs == base.specs
  name = "model.layers.1.mlp.down_proj.weight"
  exact = wide.rows(name, 0, 32)
  assert np.any(exact.astype(base.arrays[name].dtype) != exact)
  np.testing.assert_array_equal(
    own.rows(name, 0, 32), exact.astype(base.arrays[name].dtype)
  )


def test_overflow_is_left_to_the_writer():
  config = tiny_adapters.adapted("lora")
  params = tiny_adapters.random_adapters(config)
  params["layers"]["mlp"]["up"]["lora_b"][1] *= 1e8
  base = tiny_adapters.base_source(config)
  merged = MergedLora(base, config, params, dtype="float16")
  rows = merged.rows("model.layers.1.mlp.up_proj.weight", 0, 48)
  assert not tensors.is_finite(rows)


def test_output_of_zeros_stays_one():
  config = tiny_adapters.adapted("dora")
  params, base = (
    tiny_adapters.random_adapters(config),
    tiny_adapters.base_source(config),
  )
  name = "model.layers.0.mlp.up_proj.weight"
  base.arrays[name][5] = 0
  params["layers"]["mlp"]["up"]["lora_b"][0, :, 5] = 0
  rows = MergedLora(base, config, params).rows(name, 0, 48)
  assert not rows[5].any() and np.all(rows[6])


def test_trained_score_head_replaces_the_base_s():
  config = tiny_adapters.adapted("lora", num_labels=2)
  params = tiny_adapters.random_adapters(config)
  merged = MergedLora(tiny_adapters.base_source(config), config, params)
  np.testing.assert_array_equal(
    merged.rows("score.weight", 0, 2), params["score"]["kernel"].T
  )
  np.testing.assert_array_equal(
    merged.rows("score.weight", 1, 2), params["score"]["kernel"].T[1:]
  )


@pytest.mark.parametrize("tied", [False, True])
def test_language_model_becomes_a_classifier(tied):
  config = tiny_adapters.adapted("lora", num_labels=2, tie_embeddings=tied)
  params = tiny_adapters.random_adapters(config)
  plain = dataclasses.replace(config, lora=None, num_labels=0)
  base = tiny_model_folder.RandomModel(plain, dtype="bfloat16", seed=0)
  merged = MergedLora(base, config, params)
  assert merged.config == dataclasses.replace(plain, num_labels=2)
  assert "lm_head.weight" not in merged.specs
  assert merged.specs["score.weight"] == ((2, 32), "bfloat16")
  for name, array in _all(merged).items():
    assert array.shape == merged.specs[name].shape
  del params["score"]
  with pytest.raises(ValueError, match="num_labels=0, and the adapters were"):
    MergedLora(base, config, params)


def test_other_models_are_refused():
  config = tiny_adapters.adapted("lora")
  params = tiny_adapters.random_adapters(config)
  other = dataclasses.replace(CONFIG, mlp_width=64)
  with pytest.raises(ValueError, match=r"mlp_width=64, and the adapters.* 48"):
    MergedLora(tiny_adapters.base_source(other), config, params)
  # How it is computed, and for how long, is no difference.
  longer = dataclasses.replace(CONFIG, max_positions=128, dtype="bfloat16")
  merged = MergedLora(tiny_adapters.base_source(longer), config, params)
  assert merged.config == dataclasses.replace(
    longer, max_positions=config.max_positions
  )


def test_step_is_told_and_the_base_is_closed():
  closed = []
  base = tiny_adapters.base_source(CONFIG)
  base.close = lambda: closed.append(True)
  config = tiny_adapters.adapted("lora")
  params = tiny_adapters.random_adapters(config)
  merged = MergedLora(base, config, params, step=3)
  merged.close()
  assert merged.step == 3 and closed == [True]
  assert _merged("lora").step is None


def test_no_bit_depends_on_which_rows_are_asked_for(monkeypatch):
  # A matrix product's last bits depend on its shape, so tiles are fixed.
  monkeypatch.setattr(merged_lora, "_TILE", 4)
  config = tiny_adapters.adapted("dora_ranks", WIDE)
  base = tiny_adapters.base_source(config)
  params = tiny_adapters.random_adapters(config)
  merged = MergedLora(base, config, params)
  name = "model.layers.2.self_attn.v_proj.weight"
  size = merged.specs[name].shape[0]
  whole = merged.rows(name, 0, size)
  for step in (1, 3, 4, 7):
    parts = [
      merged.rows(name, start, min(start + step, size))
      for start in range(0, size, step)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_longer_rows_that_training_chose_are_kept():
  config = tiny_adapters.adapted("lora", WIDE)
  base = tiny_adapters.base_source(config)
  longer = dataclasses.replace(config, max_positions=512)
  params = tiny_adapters.random_adapters(config)
  assert MergedLora(base, longer, params).config.max_positions == 512
