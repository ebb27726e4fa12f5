# SPDX-License-Identifier: Apache-2.0
"""Online runs as a whole: what is wired to what, refused, written down."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder

from ramjax.configs import base
from ramjax.models import run_adapters, sharding
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.trainers import from_config, loop, ppo


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """A policy, and a reward model of its vocabulary."""
  root = tmp_path_factory.mktemp("models")
  policy = tiny_model_folder.write(root / "policy")
  tiny_adapters.write_reward_run(
    root / "reward_adapters",
    root / "policy",
    policy,
    LoraConfig((LoraModule("mlp/up", (2, 2), (4.0, 4.0)),)),
  )
  shape = dataclasses.replace(tiny_model_folder.CONFIG, num_labels=1)
  tiny_model_folder.write(root / "reward", shape)
  rows = [json.dumps({"prompt": f"word {i} and"}) for i in range(20)]
  (root / "rows.jsonl").write_text("\n".join(rows))
  return root


def _config(folders, tree="ppo", **fields):
  config = getattr(base, tree)(length=_LENGTH)
  config.init.from_hf = str(folders / "policy")
  config.data.sources.main = base.source(
    str(folders / "rows.jsonl"), eval_rows=4
  )
  config.data.max_length = 24
  config.data.batch_size = 8
  config.rollout.prompts = 8
  config.rollout.max_new_tokens = 5
  config.rollout.num_slots = 8
  config.optim.warmup_steps = 1
  config.run.total_steps = 2
  config.run.log_every = 1
  config.evals.every_steps = 0
  config.evals.max_new_tokens = 5
  config.update_from_flattened_dict(fields)
  return config


_LENGTH = dict(weight=0.1, min_words=1, max_words=3)


def _lines(workdir):
  text = (workdir / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def one_device(monkeypatch):
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  monkeypatch.setattr(from_config, "make_mesh", lambda *_: mesh)


@pytest.mark.parametrize("credit,adds", [("gae", True), ("group", False)])
def test_a_critic_alone_adds_parameters_of_the_algorithms_own(
  folders, tmp_path, credit, adds
):
  config = _config(folders)
  config.credit.name = credit
  algorithm = ppo.make_algorithm(config, tmp_path)
  assert (algorithm.add_params is not None) == adds


@pytest.mark.slow
def test_adapters_a_critic_and_a_reward_model(folders, tmp_path, one_device):
  config = _config(
    folders,
    **{
      "lora.rank": 2,
      "reward_model.from_hf": str(folders / "reward"),
      "optim.learning_rate": 1e-2,
      "checkpoint.every_steps": 1,
    },
  )
  workdir = tmp_path / "run"
  assert ppo.main(config, workdir) is loop.Outcome.FINISHED
  start, first, second, end = _lines(workdir)
  assert "eval/rewards/length" in start and "eval/score" in end
  for name in ("rewards/model", "rewards/length", "explained_variance", "kl"):
    assert f"rollout/{name}" in first and f"rollout/{name}" in second
  # The reference is the base without adapters, which start at nothing.
  assert first["train/ref_kl"] == pytest.approx(0, abs=1e-6)
  assert second["train/ref_kl"] != 0
  assert first["train/value_loss"] > 0
  assert not any("gate" in name for name in first)
  manifest = json.loads((workdir / "manifest.json").read_text())
  assert manifest["reward_model"]["fingerprint"]
  assert "critic" not in manifest
  # The policy's adapters alone are what others read.
  loaded = run_adapters.load(workdir)
  assert "score" not in loaded.params and "critic" not in loaded.params
  assert np.asarray(
    loaded.params["layers"]["attention"]["query"]["lora_b"]
  ).any()


@pytest.mark.slow
def test_one_base_serves_policy_reward_model_and_critic(
  folders, tmp_path, one_device
):
  adapters = str(folders / "reward_adapters")
  config = _config(
    folders,
    **{
      "lora.rank": 2,
      "reward_model.from_run": adapters,
      "critic.from_run": adapters,
      "optim.learning_rate": 1e-2,
    },
  )
  workdir = tmp_path / "run"
  assert ppo.main(config, workdir) is loop.Outcome.FINISHED
  _, first, second, _ = _lines(workdir)
  assert first["rollout/rewards/model"] != second["rollout/rewards/model"]
  assert np.isfinite(second["train/value_loss"])
  manifest = json.loads((workdir / "manifest.json").read_text())
  for role in ("critic", "reward_model"):
    assert manifest[role]["folder"] == adapters
    assert manifest[role]["step"] == 3


@pytest.mark.slow
def test_a_whole_run_on_eight_devices(folders, tmp_path):
  config = _config(folders, **{"mesh.fsdp": 4, "mesh.tensor": 2})
  assert ppo.main(config, tmp_path / "run") is loop.Outcome.FINISHED
  _, first, second, _ = _lines(tmp_path / "run")
  assert first["rollout/sampler_gap"] < 0.1
  assert first["train/policy_kl"] == pytest.approx(0, abs=1e-6)
  assert np.isfinite(second["train/loss"])


@pytest.mark.parametrize(
  "tree,fields,message",
  [
    ("ppo", {"reference.cache": "x"}, "the answers here are new ones"),
    ("ppo", {"credit.name": "vtrace"}, "credit.name='vtrace' is not one"),
    ("grpo", {"rollout.group_size": 1}, "sample at least 2"),
    ("ppo", {"loss.clip_low": 0.0}, "clip_low=0.0 must be in"),
    ("ppo", {"loss.ratio": "word"}, "loss.ratio='word'"),
    ("ppo", {"rewards.length.most": 3}, "rewards.length has no option"),
    ("ppo", {"run.require_doctor": "errors"}, "samples its answers"),
    (
      "grpo",
      {"loss.kl_coef": 0.0, "reference.sync_every": 2},
      "nothing in config.loss compares with a reference",
    ),
  ],
  ids=str,
)
def test_a_mistake_is_refused_before_anything_is_sampled(
  folders, tmp_path, one_device, tree, fields, message
):
  config = _config(folders, tree)
  with config.unlocked():
    config.update_from_flattened_dict(fields)
  with pytest.raises(ValueError, match=message):
    ppo.main(config, tmp_path / "run")
  assert not (tmp_path / "run/rollouts").exists()


def test_a_window_and_a_shared_prompt_are_refused_before_anything_is_sampled(
  folders, tmp_path, one_device
):
  shape = dataclasses.replace(tiny_model_folder.CONFIG, sliding_window=8)
  tiny_model_folder.write(tmp_path / "windowed", shape)
  fields = {"init.from_hf": str(tmp_path / "windowed"), "rollout.group_size": 2}
  config = _config(folders, **fields)
  with pytest.raises(ValueError, match=r"sliding_window=8.*share_prompt=False"):
    ppo.main(config, tmp_path / "run")
  assert not (tmp_path / "run/rollouts").exists()


def test_a_classifier_is_no_policy(folders, tmp_path, one_device):
  config = _config(folders, **{"init.from_hf": str(folders / "reward")})
  with pytest.raises(ValueError, match="algorithm='ppo' trains a language"):
    ppo.main(config, tmp_path / "run")


def test_answers_that_nothing_judges_are_refused(folders, tmp_path, one_device):
  config = _config(folders)
  with config.unlocked():
    del config.rewards.length
  with pytest.raises(ValueError, match="rewards is empty"):
    ppo.main(config, tmp_path / "run")
