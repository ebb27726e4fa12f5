# SPDX-License-Identifier: Apache-2.0
"""Rewards of the config's own file, through the real command line."""

import json
import sys

import jax
import pytest
import tiny_model_folder

from ramjax.models import sharding
from ramjax.trainers import command_line, from_config, launch, own_rewards

_CONFIG = """
import math

from ramjax.configs import base
from ramjax.evals.length_reward import length_reward


def brevity_reward(answers, *, most: float):
  return [float(answer.num_tokens <= most) for answer in answers]


def get_config():
  config = base.grpo({rewards})
  config.data.sources.main = base.source("tasks:40?seed=0", eval_rows=4)
  config.data.max_length = 64
  config.data.batch_size = 8
  config.rollout.prompts = 4
  config.rollout.group_size = 2
  config.rollout.max_new_tokens = 4
  config.optim.warmup_steps = 1
  config.run.total_steps = 1
  config.run.compilation_cache = ""
  config.evals.max_new_tokens = 4
  return config
"""


@pytest.fixture
def train(tmp_path, monkeypatch):
  """Writes a config file and trains it; returns the exit status."""
  tiny_model_folder.write(tmp_path / "model")
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  monkeypatch.setattr(from_config, "make_mesh", lambda *_: mesh)
  # As in a new process: the file is loaded into a module of this name.
  monkeypatch.delitem(sys.modules, "config_config", raising=False)

  def run(text):
    (tmp_path / "mine.py").write_text(text)
    status = launch.main(
      [
        f"--config={tmp_path / 'mine.py'}",
        f"--config.init.from_hf={tmp_path / 'model'}",
        f"--workdir={tmp_path / 'run'}",
      ]
    )
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    return status

  return run


def test_functions_of_the_config_file_are_found_and_built_in_ones_are_not(
  tmp_path, monkeypatch
):
  monkeypatch.delitem(sys.modules, "config_config", raising=False)
  (tmp_path / "mine.py").write_text(_CONFIG.replace("{rewards}", ""))
  command_line.parse(
    [f"--config={tmp_path / 'mine.py'}"],
    program="x",
    example="x",
    define=lambda values: None,
  )
  found = own_rewards.loaded()
  monkeypatch.delitem(sys.modules, "config_config")
  # `length_reward` is imported there, and stays the built-in one.
  assert list(found) == ["brevity"]
  assert found["brevity"]([], most=3) == []


@pytest.mark.slow
def test_a_function_of_the_config_file_is_a_reward(train, tmp_path):
  rewards = "brevity=dict(weight=2.0, most=3)"
  assert train(_CONFIG.replace("{rewards}", rewards)) == 0
  lines = (tmp_path / "run/rollouts/000000.jsonl").read_text().splitlines()
  assert len(lines) == 8
  for line in lines:
    record = json.loads(line)
    brevity = float(record["num_tokens"] <= 3)
    assert record["rewards"] == {"brevity": brevity}
    assert record["score"] == record["learned_score"] == 2 * brevity
  first = json.loads(
    (tmp_path / "run/metrics.jsonl").read_text().split("\n")[0]
  )
  assert 0 <= first["eval/rewards/brevity"] <= 1
  assert first["eval/score"] == 2 * first["eval/rewards/brevity"]


def test_one_with_the_name_of_a_built_in_is_refused(train, capsys):
  text = _CONFIG.replace("{rewards}", "task=dict(weight=1.0)")
  text += "\ndef task_reward(answers):\n  return [0.0] * len(answers)\n"
  assert train(text) == 1
  err = capsys.readouterr().err
  assert "own reward 'task' has the name of the built-in" in err
  assert "Traceback" not in err


def test_an_unknown_one_is_named_with_those_there_are(train, capsys):
  text = _CONFIG.replace("{rewards}", "brevty=dict(weight=1.0, most=3)")
  assert train(text) == 1
  err = capsys.readouterr().err
  assert "Is it brevity?" in err and "config's own brevity" in err


def test_without_a_config_file_there_are_none(monkeypatch):
  monkeypatch.delitem(sys.modules, "config_config", raising=False)
  assert own_rewards.loaded() == {}
