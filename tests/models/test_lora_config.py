# SPDX-License-Identifier: Apache-2.0
"""Patterns choose the modules they say, and nothing is ignored."""

import dataclasses

import pytest
import tiny_adapters

from ramjax.models import lora_config, weights
from ramjax.models.lora_config import LoraConfig, LoraModule, choose_modules


def _choose(*targets, **options):
  return choose_modules(
    3, **{"rank": 4, "alpha": 8.0, "targets": targets} | options
  )


def test_chosen_modules_by_hand():
  chosen = _choose(
    "query",
    "layers/[12]/mlp/.*",
    rank_pattern=[("layers/1/mlp/up", 2), ("layers/1/.*", 0), ("gate", 6)],
    rslora=True,
  )
  alphas = (8.0, 8.0, 8.0)
  assert chosen == LoraConfig(
    modules=(
      LoraModule("attention/query", (4, 0, 4), alphas),
      LoraModule("mlp/gate", (0, 0, 6), alphas),
      LoraModule("mlp/up", (0, 2, 4), alphas),
      LoraModule("mlp/down", (0, 0, 4), alphas),
    ),
    rslora=True,
  )
  assert chosen.scales("mlp/up") == (0, 8 / 2**0.5, 4)
  assert dataclasses.replace(chosen, rslora=False).scales("mlp/up") == (0, 4, 2)
  assert chosen.module("mlp/up").rank == 4
  assert chosen.module("lm_head") is None


def test_pattern_is_for_whole_names_at_the_end():
  assert [m.name for m in _choose("up|lm_head").modules] == [
    "mlp/up",
    "lm_head",
  ]
  for pattern in ("uery", "attention", "layers/3/mlp/up", "q_proj"):
    with pytest.raises(ValueError, match=r"matches no linear layer.*layers/2"):
      _choose("query", pattern)
  with pytest.raises(ValueError, match="'value/0' matches no linear layer"):
    _choose("query", rank_pattern=[("value/0", 3)])


def test_what_is_no_expression_is_refused():
  with pytest.raises(
    ValueError, match=r"'\(query' is not a regular expression"
  ):
    _choose("(query")


@pytest.mark.parametrize("options", [{"rank": 0}, {"alpha": 0.0}])
def test_rank_and_alpha_out_of_range_are_refused(options):
  with pytest.raises(ValueError, match=r"lora\.rank=.*lora\.alpha="):
    _choose("query", **options)


def test_all_ranks_zero_or_one_below_is_refused():
  with pytest.raises(ValueError, match="must name at least one"):
    _choose("query", rank_pattern=[("query", 0)])
  with pytest.raises(
    ValueError, match=r"ranks=\(4, -1, 4\) of attention/query"
  ):
    _choose("query", rank_pattern=[("layers/1/.*", -1)])


@pytest.mark.parametrize(
  "fields,message",
  [
    (("mlp/norm", (1,), (1.0,)), "'mlp/norm' is not one of"),
    (("mlp/up", (0, 0), (1.0, 1.0)), "one of them at least 1"),
    (("mlp/up", (), ()), "each must be at least 0"),
    (("mlp/up", (1, 2), (1.0,)), "2 LoRA ranks and 1 alphas"),
  ],
)
def test_module_that_makes_no_sense_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    LoraModule(*fields)


def test_module_named_twice_is_refused():
  module = LoraModule("mlp/up", (1,), (1.0,))
  with pytest.raises(ValueError, match="each once"):
    LoraConfig((module, module))


@pytest.mark.parametrize(
  "fields", [{"tie_embeddings": True}, {"num_labels": 1}]
)
def test_lm_head_needs_one_of_its_own(fields):
  with pytest.raises(ValueError, match="LoRA on lm_head needs an LM head"):
    tiny_adapters.adapted("lm_head", **fields)


def test_ranks_are_one_a_layer():
  lora = LoraConfig((LoraModule("mlp/up", (1, 1), (1.0, 1.0)),))
  with pytest.raises(ValueError, match="2 ranks and the model 3"):
    dataclasses.replace(tiny_adapters.CONFIG, lora=lora)


def test_module_paths_are_all_linear_layers():
  paths = lora_config.module_paths(2)
  assert len(paths) == 15 and paths[7] == "layers/1/attention/query"


@pytest.mark.parametrize("kind", tiny_adapters.KINDS)
def test_model_json_keeps_the_adapters(kind, tmp_path):
  config = tiny_adapters.adapted(kind)
  weights.save_config(tmp_path, config)
  assert weights.load_config(tmp_path) == config
