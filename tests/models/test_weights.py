# SPDX-License-Identifier: Apache-2.0
"""Models on disk: what was saved comes back, onto whatever mesh is asked."""

import dataclasses
import json

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ramjax.models import llama, presets, sharding, source_params, weights
from ramjax.models.config import RopeScaling
from ramjax.models.run_folder import RunFolder


@pytest.mark.parametrize(
  "config",
  [
    presets.PRESETS["tiny"],
    presets.PRESETS["llama3_2_1b"],
    presets.llama_config(
      "small",
      rope_scaling=RopeScaling("linear", 2.0),
      dtype="bfloat16",
      remat="dots",
    ),
  ],
  ids=["plain", "llama3", "linear"],
)
def test_config_comes_back_as_it_was_saved(tmp_path, config):
  weights.save_config(tmp_path, config)
  assert weights.load_config(tmp_path) == config


def test_folder_without_a_model_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"model\.json does not exist"):
    weights.load_config(tmp_path)


def test_field_of_another_version_is_refused_by_name(tmp_path):
  fields = dataclasses.asdict(presets.PRESETS["tiny"]) | {"num_experts": 8}
  (tmp_path / "model.json").write_text(json.dumps(fields))
  with pytest.raises(ValueError, match=r"model\.json: .*num_experts"):
    weights.load_config(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory, params, config):
  """A run's folder with checkpoints of steps 3 (negated) and 10."""
  folder = tmp_path_factory.mktemp("run")
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  trees = {3: jax.tree.map(np.negative, params), 10: params}
  with ocp.CheckpointManager(folder / "checkpoints") as manager:
    for step, tree in trees.items():
      placed = jax.device_put(tree, llama.param_shardings(config, mesh))
      manager.save(
        step, args=ocp.args.Composite(params=ocp.args.StandardSave(placed))
      )
    manager.wait_until_finished()
  # What a killed run leaves behind: neither is a finished checkpoint.
  (folder / "checkpoints" / "20.orbax-checkpoint-tmp").mkdir()
  return folder


def test_newest_checkpoint_is_the_largest_step(run):
  # As text, "3" would come after "10".
  assert weights.checkpoint_steps(run) == [3, 10]
  step, item = weights.find_item(run, step=None, average=False)
  assert step == 10 and item == run / "checkpoints/10/params"


def test_a_checkpoint_is_loaded_onto_another_mesh(run, config, params):
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  weights.save_config(run, config)
  loaded = source_params.load_params(RunFolder(run, step=3), mesh)
  jax.tree.map(
    np.testing.assert_array_equal, loaded, jax.tree.map(np.negative, params)
  )
  expected = llama.param_shardings(config, mesh)
  assert jax.tree.map(lambda x: x.sharding, loaded) == expected


def test_missing_step_is_refused_with_the_steps_there_are(run):
  with pytest.raises(FileNotFoundError, match=r"step 5 in .*\[3, 10\]"):
    weights.find_item(run, step=5, average=False)


def test_missing_average_is_refused_with_how_to_keep_one(run):
  with pytest.raises(FileNotFoundError, match=r"optim\.ema_decay"):
    weights.find_item(run, step=3, average=True)


def test_run_without_checkpoints_is_refused(tmp_path):
  assert weights.checkpoint_steps(tmp_path) == []
  with pytest.raises(FileNotFoundError, match=r"no checkpoint .* are none"):
    weights.find_item(tmp_path, step=None, average=False)
