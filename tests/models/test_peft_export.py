# SPDX-License-Identifier: Apache-2.0
"""What is written for PEFT is minimal, and reads as what it was."""

import json
import pathlib

import jax
import numpy as np
import pytest
import tiny_adapters
from safetensors import numpy as safetensors_numpy
from tiny_adapters import KINDS

from ramjax.models import peft_adapter, peft_export, peft_names


def _written(folder, config):
  adapters = tiny_adapters.adapters_of(config, pathlib.Path("base"))
  size = peft_export.write(folder, adapters, "meta-llama/Tiny")
  arrays = safetensors_numpy.load_file(folder / "adapter_model.safetensors")
  fields = json.loads((folder / "adapter_config.json").read_text())
  assert size == sum(array.nbytes for array in arrays.values())
  assert {str(array.dtype) for array in arrays.values()} == {"float32"}
  return adapters, arrays, fields


@pytest.mark.parametrize(
  "kind,labels", [*((kind, 0) for kind in KINDS), ("ranks", 2), ("dora", 1)]
)
def test_out_and_in_again_changes_no_value(kind, labels, tmp_path):
  config = tiny_adapters.adapted(kind, num_labels=labels)
  adapters, _, fields = _written(tmp_path, config)
  assert fields["task_type"] == ("SEQ_CLS" if labels else "CAUSAL_LM")
  base = tiny_adapters.base_source(config)
  found, params = peft_adapter.read(tmp_path, base)
  assert found == config
  assert jax.tree.structure(params) == jax.tree.structure(adapters.params)
  jax.tree.map(np.testing.assert_array_equal, params, adapters.params)


def test_each_layer_is_cut_to_its_own_rank(tmp_path):
  config = tiny_adapters.adapted("ranks")
  adapters, arrays, fields = _written(tmp_path, config)
  query = adapters.params["layers"]["attention"]["query"]
  name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
  np.testing.assert_array_equal(
    arrays[name.format(0, "A")], query["lora_a"][0, :, :2].T
  )
  np.testing.assert_array_equal(
    arrays[name.format(2, "B")], query["lora_b"][2].T
  )
  assert not any(".layers.1.self_attn.q_proj" in other for other in arrays)
  assert len(arrays) == 2 * (2 + 1 + 3)
  q, up = "model.layers.{}.self_attn.q_proj", "model.layers.2.mlp.up_proj"
  assert (fields["r"], fields["rank_pattern"]) == (
    1,
    {q.format(0): 2, q.format(2): 4, "o_proj": 3},
  )
  assert (fields["lora_alpha"], fields["alpha_pattern"]) == (
    2,
    {q.format(0): 8, q.format(2): 3, "o_proj": 3, up: 2.5},
  )
  assert len(fields["target_modules"]) == 6
  assert fields["base_model_name_or_path"] == "meta-llama/Tiny"


def test_one_rank_everywhere_needs_no_pattern(tmp_path):
  _, _, fields = _written(tmp_path, tiny_adapters.adapted("lora"))
  assert fields["target_modules"] == [
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
  ]  # fmt: skip
  assert (fields["r"], fields["lora_alpha"]) == (4, 6)
  for name in ("rank_pattern", "alpha_pattern", "layers_to_transform"):
    assert not fields[name]
  assert fields["modules_to_save"] is None and fields["bias"] == "none"


def test_linear_modules_are_named_as_in_the_model():
  modules = peft_names.linear_modules(tiny_adapters.CONFIG)
  assert len(modules) == 22
  assert modules["model.layers.2.mlp.down_proj"] == ("mlp/down", 2)
  assert modules["lm_head"] == ("lm_head", None)
  reward = tiny_adapters.adapted("lora", num_labels=1)
  assert "score" not in peft_names.linear_modules(reward)
