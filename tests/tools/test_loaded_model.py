# SPDX-License-Identifier: Apache-2.0
"""Opening a model to talk to: from either kind of folder, onto all devices."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import tiny_model_folder

from ramjax.models import fingerprint, sampler
from ramjax.models.open_model import open_model
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import loaded_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("opened") / "tiny"
  tiny_model_folder.write(path)
  return path


def test_a_folder_is_opened_with_all_that_talking_needs(folder):
  model = loaded_model.load(folder, template="plain")
  assert model.template == "plain"
  assert model.turn_ends == (model.tokenizer.eos_id,)
  assert model.config.dtype == "float32"
  with_source = open_model(folder)
  assert model.fingerprint == fingerprint.fingerprint(with_source)
  with_source.close()


@pytest.mark.slow
def test_it_lies_on_all_devices_and_samples_what_one_does(folder):
  model = loaded_model.load(folder)
  assert model.template is None
  assert model.mesh.size == jax.device_count() == 8
  request = sampler.Request(
    np.array([1, 20, 30], np.int32), SamplingOptions(max_tokens=4), seed=1
  )
  with jax.set_mesh(model.mesh):
    (ours,) = sampler.sample(model.params, model.config, [request])
  alone = jax.device_put(jax.device_get(model.params), jax.devices()[0])
  (other,) = sampler.sample(alone, model.config, [request])
  np.testing.assert_array_equal(ours.tokens, other.tokens)


def test_weights_stored_in_bfloat16_are_computed_in_it(tmp_path):
  tiny_model_folder.write(tmp_path / "half", dtype="bfloat16")
  half = loaded_model.load(tmp_path / "half")
  assert half.config.dtype == "bfloat16"
  assert {x.dtype for x in jax.tree.leaves(half.params)} == {
    jax.numpy.bfloat16.dtype
  }
  full = loaded_model.load(tmp_path / "half", dtype="float32")
  assert full.config.dtype == "float32"
  assert full.fingerprint == half.fingerprint


def test_a_run_is_opened_as_it_was_trained(tmp_path):
  tiny_model_folder.write(tmp_path / "run", as_run=True)
  (tmp_path / "run" / "manifest.json").write_text(
    json.dumps({"template": {"name": "alpaca"}})
  )
  assert loaded_model.load(tmp_path / "run").template == "alpaca"
  other = loaded_model.load(tmp_path / "run", template="plain")
  assert other.template == "plain"


def test_what_cannot_be_talked_to_is_refused(folder, tmp_path):
  config = dataclasses.replace(
    tiny_model_folder.CONFIG, num_labels=1, tie_embeddings=False
  )
  tiny_model_folder.write(tmp_path / "reward", config)
  with pytest.raises(ValueError, match="num_labels=1"):
    loaded_model.load(tmp_path / "reward")
  with pytest.raises(ValueError, match="num_labels=0, and one of num_labels=1"):
    loaded_model.load(folder, num_labels=1)
  bare = shutil.copytree(folder, tmp_path / "bare")
  (bare / "tokenizer.model").unlink()
  with pytest.raises(ValueError, match="no tokenizer"):
    loaded_model.load(bare)
  with pytest.raises(ValueError, match="eot_id"):
    loaded_model.load(folder, template="llama3")
  small = dataclasses.replace(tiny_model_folder.CONFIG, vocab_size=256)
  tiny_model_folder.write(tmp_path / "small", small)
  with pytest.raises(ValueError, match="another model's"):
    loaded_model.load(tmp_path / "small")


def test_a_reward_model_is_opened_by_who_asks_for_one(tmp_path):
  config = dataclasses.replace(
    tiny_model_folder.CONFIG, num_labels=1, tie_embeddings=False
  )
  tiny_model_folder.write(tmp_path / "reward", config)
  model = loaded_model.load(tmp_path / "reward", num_labels=1)
  assert model.config.num_labels == 1
  assert model.params["score"]["kernel"].shape == (config.width, 1)
  assert "lm_head" not in model.params
