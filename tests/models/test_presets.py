# SPDX-License-Identifier: Apache-2.0
"""Presets: the released models' parameter counts and RoPE, to the last one."""

import math

import jax
import pytest

from ramjax.models import llama, presets
from ramjax.models.config import RopeScaling

# As counted in the released weights.
_COUNTS = {
  "llama1_7b": 6_738_415_616,
  "llama1_13b": 13_015_864_320,
  "llama1_33b": 32_528_943_616,
  "llama1_65b": 65_285_660_672,
  "llama2_7b": 6_738_415_616,
  "llama2_13b": 13_015_864_320,
  "llama2_70b": 68_976_648_192,
  "llama3_8b": 8_030_261_248,
  "llama3_70b": 70_553_706_496,
  "llama3_1_8b": 8_030_261_248,
  "llama3_1_70b": 70_553_706_496,
  "llama3_1_405b": 405_853_388_800,
  "llama3_2_1b": 1_235_814_400,
  "llama3_2_3b": 3_212_749_824,
  "llama3_3_70b": 70_553_706_496,
}

# Generation: base of RoPE, its stretch, tied, context, vocabulary.
_FACTS = {
  "llama1_": (1e4, None, False, 2048, 32_000),
  "llama2_": (1e4, None, False, 4096, 32_000),
  "llama3_8b": (5e5, None, False, 8192, 128_256),
  "llama3_70b": (5e5, None, False, 8192, 128_256),
  "llama3_1_": (5e5, 8.0, False, 131_072, 128_256),
  "llama3_2_": (5e5, 32.0, True, 131_072, 128_256),
  "llama3_3_": (5e5, 8.0, False, 131_072, 128_256),
}


def test_every_released_preset_is_counted_here():
  assert set(presets.PRESETS) - {"tiny", "small"} == set(_COUNTS)


@pytest.mark.parametrize("name", _COUNTS)
def test_parameter_count_is_that_of_the_release(name):
  assert presets.PRESETS[name].num_parameters == _COUNTS[name]


@pytest.mark.parametrize("name", presets.PRESETS)
def test_count_is_the_sum_over_the_parameter_tree(name):
  config = presets.PRESETS[name]
  shapes, _ = llama.abstract_params(config)
  sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)]
  assert sum(sizes) == config.num_parameters


@pytest.mark.parametrize("name", _COUNTS)
def test_rope_and_embeddings_are_those_of_the_generation(name):
  config = presets.PRESETS[name]
  (facts,) = (v for prefix, v in _FACTS.items() if name.startswith(prefix))
  theta, factor, tied, max_positions, vocab_size = facts
  assert config.rope_theta == theta
  if factor is None:
    assert config.rope_scaling is None
  else:
    assert config.rope_scaling == RopeScaling(
      kind="llama3",
      factor=factor,
      low_freq_factor=1.0,
      high_freq_factor=4.0,
      original_max_positions=8192,
    )
  assert config.tie_embeddings == tied
  assert config.max_positions == max_positions
  assert config.vocab_size == vocab_size


def test_norm_epsilon_is_larger_from_llama1_65b_on():
  small = {n for n, c in presets.PRESETS.items() if c.norm_eps == 1e-6}
  assert small == {"llama1_7b", "llama1_13b", "llama1_33b"}
  assert all(
    presets.PRESETS[name].norm_eps == 1e-5 for name in set(_COUNTS) - small
  )


def test_kv_heads_are_grouped_as_in_the_releases():
  grouped = {n for n in _COUNTS if presets.PRESETS[n].num_kv_heads == 8}
  assert grouped == {n for n in _COUNTS if "llama3" in n} | {"llama2_70b"}
  for name in set(_COUNTS) - grouped:
    assert presets.PRESETS[name].num_kv_heads == presets.PRESETS[name].num_heads


@pytest.mark.parametrize("name", _COUNTS)
def test_heads_make_up_the_width(name):
  config = presets.PRESETS[name]
  assert config.num_heads * config.head_dim == config.width


def test_overrides_replace_and_none_keeps():
  config = presets.llama_config("tiny", num_layers=2, vocab_size=None)
  assert config.num_layers == 2
  assert config.vocab_size == presets.PRESETS["tiny"].vocab_size


def test_rope_scaling_may_be_plain_data():
  scaling = {"kind": "linear", "factor": 2.0}
  config = presets.llama_config("tiny", rope_scaling=scaling)
  assert config.rope_scaling == RopeScaling("linear", 2.0)
  assert config == presets.llama_config(
    "tiny", rope_scaling=RopeScaling("linear", 2.0)
  )


def test_unknown_preset_is_refused_with_the_known_ones():
  with pytest.raises(
    ValueError, match=r"'llama4' is not one of llama1_7b, .*, tiny, small"
  ):
    presets.llama_config("llama4")


def test_override_out_of_range_is_refused():
  with pytest.raises(ValueError, match="num_layers=0"):
    presets.llama_config("tiny", num_layers=0)


def test_unknown_field_is_refused():
  with pytest.raises(TypeError, match="num_experts"):
    presets.llama_config("tiny", num_experts=8)
