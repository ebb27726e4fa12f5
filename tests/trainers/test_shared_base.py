# SPDX-License-Identifier: Apache-2.0
"""One base for policy, reward model and critic: where it is one, and only there."""

import dataclasses
import re

import jax
import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder
import tiny_rollouts

from ramjax.configs import base
from ramjax.models import heads, llama, source_params
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.trainers import (
  critic,
  reward_model,
  rollout_batches,
  shared_base,
  starting_model,
)


def _lora(name):
  return LoraConfig((LoraModule(name, (2, 2), (4.0, 4.0)),))


_POLICY = dataclasses.replace(
  tiny_model_folder.CONFIG, lora=_lora("attention/query"), remat="full"
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """A base, and runs with adapters on it."""
  root = tmp_path_factory.mktemp("shared")
  made = tiny_model_folder.write(root / "base")
  other = tiny_model_folder.write(root / "other_base", seed=1)
  adapters = _lora("mlp/up")
  for name, source, fields in (
    ("reward", made, {}),
    ("elsewhere", other, {}),
    ("quantized", made, {"quantization": "nf4"}),
    ("changed", made, {"fingerprint": "0" * 64}),
    ("three", made, {"num_labels": 3}),
  ):
    folder = root / ("other_base" if source is other else "base")
    tiny_adapters.write_reward_run(
      root / name, folder, source, adapters, **fields
    )
  # Where only the folder tells: a fingerprint reads a few rows of a model.
  copy = tiny_model_folder.write(root / "copy")
  tiny_adapters.write_reward_run(root / "copied", root / "copy", copy, adapters)
  shape = dataclasses.replace(tiny_model_folder.CONFIG, num_labels=1)
  tiny_model_folder.write(root / "whole", shape, as_run=True)
  tiny_model_folder.write(root / "hf", shape)
  return root


def _config(folders, role="reward_model", name="reward"):
  config = base.ppo()
  config.init.from_hf = str(folders / "base")
  config[role].from_run = str(folders / name)
  return config


def _found(folders, tmp_path, name="reward", policy=_POLICY):
  start = starting_model.Start(folders / name)
  return shared_base.find(start, policy, _config(folders), tmp_path)


def _start(config, tmp_path):
  start = reward_model.choose(config, tmp_path)
  assert start is not None
  return start


def _frozen(mesh):
  return tiny_adapters.frozen(_POLICY, mesh)


def test_adapters_on_the_policys_base_are_found(folders, tmp_path):
  found, reason = _found(folders, tmp_path)
  assert found is not None and found.config.lora is not None
  assert not reason
  assert found.step == 3
  assert found.config.num_labels == 1
  assert found.config.lora.modules[0].name == "mlp/up"
  assert found.config.remat == "full"  # How it is computed is the run's.


@pytest.mark.parametrize(
  ("name", "reason"),
  [
    ("elsewhere", "its base is .*/other_base, and the policy's .*/base$"),
    ("copied", "its base is .*/copy, and the policy's .*/base$"),
    ("quantized", "its base was held as 'nf4', and the policy's is as 'none'"),
    ("changed", "base has changed since it was trained"),
    ("whole", "^$"),
    ("hf", "^$"),
  ],
)
def test_what_is_not_on_that_base_shares_nothing(
  folders, tmp_path, name, reason
):
  found, told = _found(folders, tmp_path, name)
  assert found is None
  assert re.search(reason, told)


def test_a_policy_without_adapters_shares_nothing(folders, tmp_path):
  policy = dataclasses.replace(_POLICY, lora=None)
  assert _found(folders, tmp_path, policy=policy) == (None, "")


def test_a_policy_of_random_weights_shares_nothing(folders, tmp_path):
  start = starting_model.Start(folders / "reward")
  found, reason = shared_base.find(start, _POLICY, base.ppo(), tmp_path)
  assert found is None and "random weights" in reason


def test_another_checkpoint_of_one_run_is_another_base(tmp_path):
  source = tiny_model_folder.write(tmp_path / "run", as_run=True)
  tiny_adapters.write_reward_run(
    tmp_path / "reward", tmp_path / "run", source, _lora("mlp/up"), base_step=7
  )
  config = base.ppo()
  config.init.from_run = str(tmp_path / "run")
  start = starting_model.Start(tmp_path / "reward")
  found, reason = shared_base.find(start, _POLICY, config, tmp_path / "new")
  assert found is None
  assert re.search(
    r"its base is .*/run at step 7, and .*/run at step 0$", reason
  )


def test_scores_on_a_shared_base_are_those_of_the_merged_model(
  folders, tmp_path
):
  config, mesh = _config(folders), tiny_adapters.one_device()
  start = _start(config, tmp_path)
  adapters, _ = shared_base.find(start, _POLICY, config, tmp_path)
  shared, merged = (
    reward_model.RewardModel(
      start, _POLICY, mesh, row_length=24, adapters=given
    )
    for given in (adapters, None)
  )
  rollout = tiny_rollouts.random_rollout(
    [(1 + i % 7, 1 + (3 * i) % 6) for i in range(20)], vocab_size=300
  )
  expected = merged.score(rollout, None)
  found = shared.score(rollout, _frozen(mesh))
  np.testing.assert_allclose(found, expected, atol=1e-4)
  assert expected.std() > 0.01
  # It holds its adapters and its head, and no base.
  leaves = jax.tree_util.tree_leaves_with_path(shared._params)
  names = {path[-1].key for path, _ in leaves}
  assert names == {"lora_a", "lora_b", "kernel"}
  assert [k for k in shared._params if k != "layers"] == ["score"]


def test_a_reward_model_of_another_kind_is_refused_on_a_shared_base(
  folders, tmp_path
):
  config = _config(folders, name="three")
  start = _start(config, tmp_path)
  adapters, _ = shared_base.find(start, _POLICY, config, tmp_path)
  with pytest.raises(ValueError, match="num_labels=3"):
    reward_model.RewardModel(
      start,
      _POLICY,
      tiny_adapters.one_device(),
      row_length=24,
      adapters=adapters,
    )


def test_a_critic_starts_from_a_reward_model_on_the_same_base(
  folders, tmp_path
):
  config, mesh = _config(folders, "critic"), tiny_adapters.one_device()
  shape = critic.make_config(config, _POLICY, tmp_path)
  assert shape is not None and shape.lora is not None
  assert shape.lora.modules[0].name == "mlp/up"
  frozen = _frozen(mesh)
  own = critic.init_params(config, shape, {}, frozen, mesh, tmp_path)
  batch = _batch()
  found = critic.values({**frozen, "critic": own}, shape, batch)
  source = critic.choose(config, tmp_path).open()
  merged = source_params.load_params(source, mesh)
  plain = source.config
  source.close()
  hidden = llama.apply(
    merged,
    plain,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
  )
  expected = heads.scores(merged, hidden)[..., 0].reshape(-1)
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_critic_on_another_base_is_refused_beside_adapters(folders, tmp_path):
  config = _config(folders, "critic", "elsewhere")
  with pytest.raises(ValueError, match="with adapters on that very base"):
    critic.make_config(config, _POLICY, tmp_path)


def _batch():
  rollout = tiny_rollouts.random_rollout([(3, 4), (5, 2)], vocab_size=300)
  places = rollout_batches.place(
    rollout.prompt_lengths, rollout.response_lengths, row_length=16, multiple=1
  )
  return rollout_batches.pack(rollout, np.arange(2), places, {})
