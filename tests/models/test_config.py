# SPDX-License-Identifier: Apache-2.0
"""LlamaConfig: counts its parameters, refuses what cannot be computed."""

import dataclasses
from typing import Any

import pytest

from ramjax.models.config import LlamaConfig, RopeScaling
from ramjax.models.lora_config import LoraConfig, LoraModule

_FIELDS: dict[str, Any] = dict(
  vocab_size=10,
  width=4,
  mlp_width=6,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=2,
)


def _config(**fields: Any) -> LlamaConfig:
  return LlamaConfig(**{**_FIELDS, **fields})


def test_parameters_of_a_hand_counted_model():
  # A layer: query and output 4 x 4, key and value 4 x 2, three MLP matrices of
  # 4 x 6, two norms of 4: 16 + 16 + 8 + 8 + 72 + 8 = 128. Two layers and the
  # final norm: 260. Embedding and LM head: 40 each, one matrix when tied.
  assert _config().num_parameters == 340
  assert _config(tie_embeddings=True).num_parameters == 300


def test_equal_configs_are_one_static_argument():
  config = _config(rope_scaling=RopeScaling("linear", 2.0))
  same = _config(rope_scaling=RopeScaling("linear", 2.0))
  assert config == same and hash(config) == hash(same)


def test_config_is_frozen():
  with pytest.raises(dataclasses.FrozenInstanceError):
    _config().width = 8  # type: ignore


@pytest.mark.parametrize(
  "name", [*_FIELDS, "max_positions"], ids=lambda name: name
)
def test_size_below_one_is_refused(name):
  with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
    _config(**{name: 0})


@pytest.mark.parametrize(
  "name,value,allowed",
  [
    ("dtype", "float16", "float32, bfloat16"),
    ("remat", "all", "none, dots, save_qkv, save_attention, offload, full"),
    ("attention", "flash", "xla, splash, cudnn"),
  ],
)
def test_unknown_choice_is_refused_with_the_allowed_ones(name, value, allowed):
  with pytest.raises(
    ValueError, match=f"{name}='{value}' is not one of {allowed}"
  ):
    _config(**{name: value})


def test_query_heads_must_be_a_multiple_of_kv_heads():
  with pytest.raises(
    ValueError, match="num_heads=6 must be a multiple of num_kv_heads=4"
  ):
    _config(num_heads=6, num_kv_heads=4)


def test_more_kv_heads_than_query_heads_are_refused():
  with pytest.raises(ValueError, match="num_heads=2 must be a multiple"):
    _config(num_kv_heads=4)


def test_odd_head_dim_is_refused():
  with pytest.raises(ValueError, match="head_dim=3 must be even"):
    _config(head_dim=3)


def test_rope_of_another_kind_is_refused_by_name():
  with pytest.raises(
    ValueError,
    match="rope scaling kind='yarn' is not one of linear, llama3",
  ):
    RopeScaling("yarn", 4.0)


def test_shrinking_the_context_is_refused():
  with pytest.raises(ValueError, match=r"factor=0\.5 must be at least 1"):
    RopeScaling("linear", 0.5)


@pytest.mark.parametrize("high", [1.0, 0.5])
def test_blend_without_width_is_refused(high):
  with pytest.raises(
    ValueError, match=rf"high_freq_factor={high} must be above low_freq_factor"
  ):
    RopeScaling("llama3", 8.0, low_freq_factor=1.0, high_freq_factor=high)


def test_biases_and_score_head_are_counted():
  # 260 for layers and final norm. Biases: query 4, key and value 2 each, in
  # two layers: 16. The score head is 4 x 3; the embedding 40.
  assert _config(qkv_bias=True).num_parameters == 340 + 16
  assert _config(num_labels=3).num_parameters == 260 + 40 + 12
  # There is no LM head to tie.
  assert _config(num_labels=3, tie_embeddings=True).num_parameters == 312


@pytest.mark.parametrize("window", [0, -1])
def test_window_without_the_query_itself_is_refused(window):
  with pytest.raises(
    ValueError, match=f"sliding_window={window} must be at least 1, or None"
  ):
    _config(sliding_window=window)


def test_negative_number_of_labels_is_refused():
  with pytest.raises(ValueError, match="num_labels=-1 must be 0"):
    _config(num_labels=-1)


def test_score_head_leaves_no_lm_head_to_adapt():
  lora = LoraConfig((LoraModule("lm_head", (2,), (2.0,)),))
  with pytest.raises(ValueError, match="replaced by a score head"):
    _config(num_labels=1, lora=lora)


@pytest.mark.parametrize(
  "changes",
  [
    {"low_freq_factor": 0.0},
    {"low_freq_factor": -1.0},
    {"original_max_positions": 0},
  ],
)
def test_blend_that_divides_by_nothing_is_refused(changes):
  with pytest.raises(ValueError, match=next(iter(changes))):
    RopeScaling("llama3", 8.0, **changes)
