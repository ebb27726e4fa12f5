# SPDX-License-Identifier: Apache-2.0
"""Runs that sample their batches, stopped within a rollout or between two.

They end as if nothing had happened: the same answers, the same batches, the
same bits of policy, critic, optimizer and moving reference, the same log.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
import pytest
import tiny_checkpoints
import tiny_compile
import tiny_model_folder

from ramjax.configs import base
from ramjax.models import sharding, source_params
from ramjax.models.run_folder import RunFolder
from ramjax.trainers import from_config, loop, own_rewards, ppo

_STEPS = 6


def _letters_reward(answers):
  """Anything that answers differ in."""
  return [sum(map(ord, answer.response)) % 7 / 3 for answer in answers]


def _even_reward(answers):
  """Often the same for a whole group."""
  return [float(len(answer.response) % 3 == 0) for answer in answers]


def _ppo():
  """A rollout of 4 updates: within it are its values and its own order."""
  config = base.ppo(letters=dict(weight=1.0))
  config.loss.kl_target = 0.01
  config.loss.kl_horizon = 40
  config.scores.normalise = True
  config.scores.clip = 2.0
  config.rollout.epochs = 2
  config.reference.sync_every = 2
  config.reference.sync_rate = 0.5
  return config


def _grpo():
  """A rollout of 2 updates, for which more prompts are asked than used."""
  config = base.grpo(even=dict(weight=1.0))
  config.rollout.drop_uniform_groups = True
  return config


def _small(config, folder):
  config.init.from_hf = str(folder / "model")
  config.data.sources.main = base.source(str(folder / "rows.jsonl"))
  config.data.max_length = 24
  config.data.batch_size = 4
  config.data.num_microbatches = 2
  config.rollout.prompts = 4
  config.rollout.group_size = 2
  config.rollout.max_new_tokens = 5
  config.optim.learning_rate = 1e-2
  config.optim.warmup_steps = 1
  config.optim.ema_decay = 0.9
  config.run.total_steps = _STEPS
  config.run.log_every = 1
  config.evals.every_steps = 0
  config.checkpoint.every_steps = 0
  return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model and prompts; one device, compiled programs kept between launches."""
  root = tmp_path_factory.mktemp("start")
  tiny_model_folder.write(root / "model")
  rows = [json.dumps({"prompt": f"word {i} and"}) for i in range(30)]
  (root / "rows.jsonl").write_text("\n".join(rows))
  with tiny_compile.programs_kept(root / "xla"):
    yield root


class _Launches:
  """Starts a run again and again; remembers its last state."""

  def __init__(self, folder, make, monkeypatch):
    self._config = _small(make(), folder)
    self._monkeypatch = monkeypatch
    self.state: Any = None
    self.position: Any = None

  def __call__(self, workdir, *, stop_after=None):
    """Runs it; SIGTERM arrives while batch `stop_after` is counted."""
    train = loop.train
    counted = []

    def train_and_stop(state, batches, *, count_batch, **options):
      def count(batch):
        counted.append(batch)
        if len(counted) == stop_after:
          os.kill(os.getpid(), signal.SIGTERM)
        return count_batch(batch)

      self.state, outcome = train(state, batches, count_batch=count, **options)
      self.position = batches.get_state()
      return self.state, outcome

    mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
    own = {"letters": _letters_reward, "even": _even_reward}
    with self._monkeypatch.context() as patched:
      patched.setattr(loop, "train", train_and_stop)
      patched.setattr(from_config, "make_mesh", lambda *_: mesh)
      patched.setattr(own_rewards, "loaded", lambda: own)
      outcome = ppo.main(self._config, workdir)
    return outcome, counted


def _bits(state):
  rest = jax.device_get(
    (state.step, state.params, state.opt_state, state.ema, state.moving,
     jax.random.key_data(state.key))
  )  # fmt: skip
  return jax.tree_util.tree_leaves_with_path(rest)


def _log(workdir):
  found = {}
  for line in (workdir / "metrics.jsonl").read_text().splitlines():
    entry = json.loads(line)
    found.setdefault(entry["step"], {}).update(
      (name, value)
      for name, value in entry.items()
      if not name.endswith(("_s", "/step_s", "tokens_per_s", "time"))
    )
  return found


def _answers(workdir):
  return {
    path.name: path.read_text()
    for path in sorted((workdir / "rollouts").glob("*.jsonl"))
  }


_ALL = tuple(1 for _ in range(_STEPS - 1))


@pytest.mark.slow
@pytest.mark.parametrize(
  "make,stops",
  [(_ppo, (3,)), (_grpo, (3,)), (_ppo, _ALL), (_grpo, _ALL)],
  ids=["ppo", "grpo", "ppo-every-step", "grpo-every-step"],
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
  folder, tmp_path, monkeypatch, make, stops
):
  launch = _Launches(folder, make, monkeypatch)
  outcome, batches = launch(tmp_path / "whole")
  assert outcome is loop.Outcome.FINISHED and len(batches) == _STEPS
  whole = launch.state
  log = _log(tmp_path / "whole")
  if make is _ppo:
    # Else nothing is shown: what can move has moved.
    assert log[1]["rollout/kl_coef"] != log[5]["rollout/kl_coef"]
    assert "layers" in whole.moving and "critic" not in whole.moving
    assert np.asarray(whole.params["critic"]["score"]["kernel"]).any()
  else:
    # Three rollouts of 4 prompts, and groups that were left out.
    assert launch.position["num_prompts"] > 12

  found = []
  for stop in stops:
    outcome, some = launch(tmp_path / "cut", stop_after=stop)
    assert outcome is loop.Outcome.PREEMPTED and len(some) == stop
    found += some
  outcome, some = launch(tmp_path / "cut")
  assert outcome is loop.Outcome.FINISHED
  for one, other in zip([*found, *some], batches, strict=True):
    jax.tree.map(np.testing.assert_array_equal, one, other)
  for (path, one), (_, other) in zip(
    _bits(launch.state), _bits(whole), strict=True
  ):
    np.testing.assert_array_equal(one, other, err_msg=str(path))
  assert _answers(tmp_path / "cut") == _answers(tmp_path / "whole")
  assert _log(tmp_path / "cut") == log
  shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_a_rollout_that_was_damaged_is_made_again_from_the_step_before(
  folder, tmp_path, monkeypatch, capsys
):
  launch = _Launches(folder, _ppo, monkeypatch)
  launch(tmp_path / "whole")
  whole = launch.state
  # Steps 3 and 5 lie within the first and the second rollout of 4 updates.
  launch(tmp_path / "cut", stop_after=3)
  launch(tmp_path / "cut", stop_after=2)
  for damage, reason in (
    (tiny_checkpoints.flip_a_bit, "the digest of rollouts/000001.npz, "),
    (
      os.unlink,
      "rollouts/000001.npz, the rollout that it lies within, is gone",
    ),
  ):
    workdir = tmp_path / damage.__name__
    shutil.copytree(tmp_path / "cut", workdir)
    damage(workdir / "rollouts" / "000001.npz")
    capsys.readouterr()
    outcome, batches = launch(workdir)
    assert outcome is loop.Outcome.FINISHED and len(batches) == 3
    out = capsys.readouterr().out
    assert f"checkpoint of step 5 rejected: {reason}" in out
    assert f"continuing after step 3 of {_STEPS}" in out
    assert (workdir / "checkpoints" / "5.rejected").is_dir()
    for (path, one), (_, other) in zip(
      _bits(launch.state), _bits(whole), strict=True
    ):
      np.testing.assert_array_equal(one, other, err_msg=str(path))
    assert _answers(workdir) == _answers(tmp_path / "whole")
    assert _log(workdir) == _log(tmp_path / "whole")


_FILE = """
from ramjax.configs import base


def letters_reward(answers):
  return [sum(map(ord, answer.response)) % 7 / 3 for answer in answers]


def get_config():
  config = base.ppo(letters=dict(weight=1.0))
  config.scores.normalise = True
  config.loss.kl_target = 0.01
  config.loss.kl_horizon = 40
  config.rollout.epochs = 2
  config.init.from_hf = "{folder}/model"
  config.data.sources.main = base.source("{folder}/rows.jsonl")
  config.data.max_length = 24
  config.data.batch_size = 4
  config.rollout.prompts = 4
  config.rollout.group_size = 2
  config.rollout.max_new_tokens = 5
  config.optim.warmup_steps = 1
  config.run.total_steps = 24
  config.run.log_every = 1
  config.run.compilation_cache = "{folder}/compiled"
  config.evals.every_steps = 0
  config.checkpoint.every_steps = 3
  return config
"""


def _start(folder, workdir):
  # One device and the compiler's defaults, as a user's process has.
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  return subprocess.Popen(
    [
      sys.executable,
      "-m",
      "ramjax.trainers.launch",
      f"--config={folder / 'mine.py'}",
      f"--workdir={workdir}",
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env=environment,
  )


def _finish(process):
  out, _ = process.communicate(timeout=600)
  return process.returncode, out


def _wait_for_step(workdir, step, process):
  path = workdir / "metrics.jsonl"
  deadline = time.monotonic() + 300
  while time.monotonic() < deadline:
    if path.exists() and f'"step": {step},' in path.read_text():
      return
    assert process.poll() is None, process.stdout.read()
    time.sleep(0.02)
  raise AssertionError(f"step {step} was not reached in 300 s")


@pytest.mark.slow
def test_a_kill_within_a_rollout_changes_nothing(folder, tmp_path):
  (folder / "mine.py").write_text(_FILE.replace("{folder}", str(folder)))
  status, out = _finish(_start(folder, tmp_path / "whole"))
  assert status == 0, out
  for step in (5, 14):
    process = _start(folder, tmp_path / "cut")
    _wait_for_step(tmp_path / "cut", step, process)
    process.kill()
    assert _finish(process)[0] == -signal.SIGKILL
  status, out = _finish(_start(folder, tmp_path / "cut"))
  assert status == 0, out
  assert "continuing after step" in out
  assert _answers(tmp_path / "cut") == _answers(tmp_path / "whole")
  assert _log(tmp_path / "cut") == _log(tmp_path / "whole")
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  one, other = (
    source_params.load_params(RunFolder(tmp_path / name), mesh)
    for name in ("cut", "whole")
  )
  jax.tree.map(np.testing.assert_array_equal, one, other)
