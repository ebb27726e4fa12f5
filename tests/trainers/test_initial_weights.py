# SPDX-License-Identifier: Apache-2.0
"""A run starts from the folder that its config names, or says why it cannot."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_model_folder
from tiny_model_folder import CONFIG

from ramjax.configs import base
from ramjax.models import sharding
from ramjax.trainers import initial_weights


@pytest.fixture
def config() -> Any:
  config = base.sft()
  config.data.max_length = 32
  return config


@pytest.fixture
def folder(tmp_path):
  tiny_model_folder.write(tmp_path / "hf")
  return tmp_path / "hf"


def test_the_shape_comes_from_the_folder_and_the_computation_from_the_config(
  config, folder
):
  config.init.from_hf = str(folder)
  config.model.dtype = "bfloat16"
  config.model.remat = "full"
  assert initial_weights.make_model_config(config) == dataclasses.replace(
    CONFIG, dtype="bfloat16", remat="full"
  )


def test_neither_folder_nor_preset_is_refused(config):
  with pytest.raises(ValueError, match=r"model.preset='' .*init.from_hf"):
    initial_weights.make_model_config(config)


def test_two_folders_are_refused(config, folder):
  config.init.from_hf = config.init.from_run = str(folder)
  with pytest.raises(ValueError, match="both set"):
    initial_weights.make_model_config(config)


def test_a_run_is_not_taken_for_hugging_face(config, tmp_path):
  tiny_model_folder.write(tmp_path / "run", as_run=True)
  config.init.from_hf = str(tmp_path / "run")
  with pytest.raises(ValueError, match=r"name it in init\.from_run"):
    initial_weights.make_model_config(config)


def test_hugging_face_is_not_taken_for_a_run(config, folder):
  config.init.from_run = str(folder)
  with pytest.raises(ValueError, match=r"named in init\.from_hf"):
    initial_weights.make_model_config(config)


@pytest.mark.parametrize("field", ["vocab_size", "num_layers"])
def test_a_field_that_contradicts_the_folder_is_refused_by_name(
  config, folder, field
):
  config.init.from_hf = str(folder)
  config.model[field] = 5
  with pytest.raises(ValueError, match=rf"{field}=.*model.{field} says 5"):
    initial_weights.make_model_config(config)


def test_a_preset_of_another_shape_is_refused(config, folder):
  config.init.from_hf = str(folder)
  config.model.preset = "tiny"
  with pytest.raises(ValueError, match=r"model\.preset='tiny' says"):
    initial_weights.make_model_config(config)


def test_a_field_that_agrees_is_accepted(config, folder):
  config.init.from_hf = str(folder)
  config.model.num_layers = CONFIG.num_layers
  assert initial_weights.make_model_config(config).num_layers == 2


def test_rows_longer_than_the_model_is_for_need_a_word(config, folder):
  config.init.from_hf = str(folder)
  config.data.max_length = 65
  with pytest.raises(ValueError, match="beyond the 64 positions"):
    initial_weights.make_model_config(config)
  config.model.max_positions = 128
  assert initial_weights.make_model_config(config).max_positions == 128


def test_adapters_on_random_weights_are_refused(config):
  config.model.preset = "tiny"
  config.lora.rank = 4
  with pytest.raises(ValueError, match="adapts a model that exists"):
    initial_weights.make_model_config(config)


def test_a_quantised_base_without_adapters_is_refused(config, folder):
  config.init.from_hf = str(folder)
  config.lora.quantize_base = "nf4"
  with pytest.raises(ValueError, match=r"set lora\.rank"):
    initial_weights.make_model_config(config)


def test_a_pattern_without_a_match_is_refused(config, folder):
  config.init.from_hf = str(folder)
  config.lora.rank = 4
  config.lora.targets = ("q_proj",)
  with pytest.raises(ValueError, match=r"'q_proj' matches no linear layer"):
    initial_weights.make_model_config(config)


@pytest.mark.parametrize("as_run", [False, True])
def test_the_weights_are_float32_copies_of_the_folders(
  config, tmp_path, as_run
):
  model = tiny_model_folder.write(
    tmp_path / "m", dtype="bfloat16", as_run=as_run
  )
  config.init["from_run" if as_run else "from_hf"] = str(tmp_path / "m")
  model_config = initial_weights.make_model_config(config)
  mesh = sharding.make_mesh({"fsdp": 8})
  trained, frozen = initial_weights.load(config, model_config, mesh)
  assert frozen == {}
  assert {str(leaf.dtype) for leaf in jax.tree.leaves(trained)} == {"float32"}
  up = model.arrays["model.layers.1.mlp.up_proj.weight"].astype(np.float32)
  np.testing.assert_array_equal(
    trained["layers"]["mlp"]["up"]["kernel"][1], up.T
  )
  assert not trained["layers"]["mlp"]["up"]["kernel"].is_fully_replicated


def test_with_adapters_the_base_is_frozen_in_the_dtype_of_the_computation(
  config, folder
):
  config.init.from_hf = str(folder)
  config.lora.rank = 2
  config.lora.targets = ("query",)
  config.model.dtype = "bfloat16"
  model_config = initial_weights.make_model_config(config)
  mesh = sharding.make_mesh({"fsdp": 2, "data": 4})
  trained, frozen = initial_weights.load(config, model_config, mesh)
  query = trained["layers"]["attention"]["query"]
  assert set(query) == {"lora_a", "lora_b"}
  assert len(jax.tree.leaves(trained)) == 2
  assert query["lora_a"].shape == (2, 64, 2)
  assert {str(leaf.dtype) for leaf in jax.tree.leaves(frozen)} == {"bfloat16"}


def test_a_base_in_nf4_has_no_kernel_in_its_layers(config, folder):
  config.init.from_hf = str(folder)
  config.lora.rank = 2
  config.lora.quantize_base = "nf4"
  model_config = initial_weights.make_model_config(config)
  mesh = sharding.make_mesh({"data": 8})
  _, frozen = initial_weights.load(config, model_config, mesh)
  assert set(frozen["layers"]["mlp"]["up"]) == {"nf4"}
  assert frozen["layers"]["mlp"]["up"]["nf4"]["codes"].dtype == jnp.uint8


def test_the_manifest_knows_one_base_from_another(config, tmp_path):
  described = []
  for seed in (0, 1):
    tiny_model_folder.write(tmp_path / str(seed), seed=seed)
    config.init.from_hf = str(tmp_path / str(seed))
    described.append(initial_weights.describe(config)["fingerprint"])
  assert described[0] != described[1]


def test_what_came_with_the_weights_is_kept(config, folder, tmp_path):
  (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
  config.init.from_hf = str(folder)
  config.lora.rank = 2
  workdir = tmp_path / "run"
  workdir.mkdir()
  initial_weights.carry_files(config, workdir, initial_weights.describe(config))
  names = {path.name for path in (workdir / "hf").iterdir()}
  assert names == {"config.json", "generation_config.json", "tokenizer.model"}
  base_record = json.loads((workdir / "base.json").read_text())
  assert base_record["folder"] == str(folder)


def test_the_models_own_tokenizer_is_found(config, folder):
  config.init.from_hf = str(folder)
  assert initial_weights.tokenizer_folder(config) == folder


def test_a_model_without_a_tokenizer_is_refused(config, folder):
  (folder / "tokenizer.model").unlink()
  config.init.from_hf = str(folder)
  with pytest.raises(FileNotFoundError, match=r"tokenizer\.path"):
    initial_weights.tokenizer_folder(config)


def test_an_optimizer_of_frozen_matrices_is_refused(config, folder):
  config.init.from_hf = str(folder)
  config.lora.rank = 2
  config.optim.name = "muon"
  with pytest.raises(ValueError, match="which adapters freeze"):
    initial_weights.make_model_config(config)
