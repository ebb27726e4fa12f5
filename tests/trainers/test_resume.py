# SPDX-License-Identifier: Apache-2.0
"""Resuming equals never having stopped, bit for bit, through real kills."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from ramjax.models import sharding, source_params, weights
from ramjax.models.run_folder import RunFolder
from ramjax.trainers import workdir_lock

pytestmark = pytest.mark.slow

_STEPS = 24
_OVERRIDES = {
  "data.sources.tasks.path": "tasks:400?seed=0",
  "data.sources.tasks.eval_path": "",
  "data.sources.tasks.eval_rows": 16,
  "data.max_length": 128,
  "data.batch_size": 4,
  "data.num_microbatches": 2,
  "tokenizer.train_vocab_size": 400,
  "model.vocab_size": 400,
  "model.width": 32,
  "model.num_layers": 2,
  "optim.warmup_steps": 4,
  "optim.ema_decay": 0.9,
  "run.total_steps": _STEPS,
  "run.log_every": 2,
  "evals.every_steps": 0,
  "evals.num_prompts": 0,
  "checkpoint.every_steps": 3,
  "checkpoint.keep": 3,
}


def _command(workdir):
  return [
    sys.executable,
    "-m",
    "ramjax.trainers.launch",
    "--config=sft_quickstart",
    f"--workdir={workdir}",
    *(f"--config.{name}={value}" for name, value in _OVERRIDES.items()),
  ]


def _start(workdir, cache, largest_kib=None):
  # One device and the compiler's defaults, as a user's process has.
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  command = [*_command(workdir), f"--config.run.compilation_cache={cache}"]
  if largest_kib is not None:
    # Stands for a full disk: a file that grows beyond it is an error.
    limit = f'ulimit -f {largest_kib}; exec "$0" "$@"'
    command = ["bash", "-c", limit, *command]
  return subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    env=environment,
  )


def _finish(process):
  out, _ = process.communicate(timeout=600)
  return process.returncode, out


def _losses(workdir):
  """Loss, gradient norm and token count by step; the later line wins."""
  by_step = {}
  for line in (workdir / "metrics.jsonl").read_text().splitlines():
    entry = json.loads(line)
    if "train/loss" in entry:
      by_step[entry["step"]] = [
        entry[f"train/{name}"]
        for name in ("loss", "grad_norm", "tokens", "supervised_tokens")
      ]
  return by_step


def _params(workdir):
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  return source_params.load_params(RunFolder(workdir, step=_STEPS), mesh)


def _assert_same_run(workdir, reference):
  assert _losses(workdir) == _losses(reference)
  for one, other in zip(
    jax.tree.leaves(_params(workdir)),
    jax.tree.leaves(_params(reference)),
    strict=True,
  ):
    np.testing.assert_array_equal(one, other)


def _wait_for_step(workdir, step, process):
  """Until `step` is logged; the process must still be alive then."""
  path = workdir / "metrics.jsonl"
  deadline = time.monotonic() + 300
  while time.monotonic() < deadline:
    if path.exists() and f'"step": {step},' in path.read_text():
      return
    assert process.poll() is None, process.stdout.read()
    time.sleep(0.02)
  raise AssertionError(f"step {step} was not reached in 300 s")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> pathlib.Path:
  return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def reference(tmp_path_factory, cache) -> pathlib.Path:
  """A run that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("reference") / "run"
  status, out = _finish(_start(workdir, cache))
  assert status == 0, out
  return workdir


@pytest.mark.parametrize("seed", [0, 1])
def test_sigkill_at_a_random_step_changes_nothing(
  tmp_path, cache, reference, seed
):
  workdir = tmp_path / "run"
  rng = random.Random(seed)
  kills = sorted(rng.sample(range(2, _STEPS - 2, 2), 2))
  for step in kills:
    process = _start(workdir, cache)
    _wait_for_step(workdir, step, process)
    time.sleep(rng.random() * 0.05)
    process.kill()
    assert _finish(process)[0] == -signal.SIGKILL
  status, out = _finish(_start(workdir, cache))
  assert status == 0, out
  _assert_same_run(workdir, reference)


def test_sigterm_saves_exits_75_and_changes_nothing(tmp_path, cache, reference):
  workdir = tmp_path / "run"
  process = _start(workdir, cache)
  _wait_for_step(workdir, 8, process)
  process.terminate()
  status, out = _finish(process)
  assert status == 75, out
  saved = weights.checkpoint_steps(workdir)[-1]
  assert 8 <= saved < _STEPS
  status, out = _finish(_start(workdir, cache))
  assert status == 0, out
  assert f"continuing after step {saved} of {_STEPS}" in out
  _assert_same_run(workdir, reference)


def test_a_used_folder_refuses_another_config_by_the_fields_name(
  reference, cache
):
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  done = subprocess.run(
    [
      *_command(reference),
      f"--config.run.compilation_cache={cache}",
      "--config.optim.learning_rate=0.5",
    ],
    capture_output=True,
    text=True,
    check=False,
    env=environment,
  )
  assert done.returncode == 1
  assert "optim.learning_rate: " in done.stderr
  assert "0.5 now" in done.stderr


def test_a_damaged_checkpoint_is_passed_over_and_the_end_is_the_same(
  tmp_path, cache, reference
):
  workdir = tmp_path / "run"
  shutil.copytree(reference, workdir)
  newest = workdir / "checkpoints" / str(_STEPS)
  largest = max(newest.rglob("d/*"), key=lambda path: path.stat().st_size)
  data = bytearray(largest.read_bytes())
  data[len(data) // 2] ^= 1
  largest.write_bytes(data)
  status, out = _finish(_start(workdir, cache))
  assert status == 0, out
  assert f"checkpoint of step {_STEPS} rejected: " in out
  assert f"continuing after step {_STEPS - 3} of {_STEPS}" in out
  assert (workdir / "checkpoints" / f"{_STEPS}.rejected").is_dir()
  _assert_same_run(workdir, reference)


def test_a_second_job_in_the_folder_refuses_and_touches_nothing(
  reference, cache
):
  def listing():
    files = [path for path in reference.rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files}

  with workdir_lock.held(reference, is_first=True):
    before = listing()
    status, out = _finish(_start(reference, cache))
    assert listing() == before
  assert status == 1
  assert f"in use: process {os.getpid()} on " in out
  assert "Traceback" not in out


def test_a_full_disk_ends_the_run_with_a_message_and_a_good_checkpoint(
  tmp_path, cache, reference
):
  workdir = tmp_path / "run"
  shutil.copytree(reference, workdir)
  good = _STEPS - 6
  for step in (_STEPS, _STEPS - 3):
    shutil.rmtree(workdir / "checkpoints" / str(step))
  # No file may grow beyond what logs need: no parameter can be written.
  status, out = _finish(_start(workdir, cache, largest_kib=29))
  assert status == 1, out
  assert "could not be written" in out
  assert f"the last good one is {workdir}/checkpoints/{good}" in out
  assert "--config.run.tracebacks=True shows where" in out
  assert weights.checkpoint_steps(workdir) == [good]
  status, out = _finish(_start(workdir, cache))
  assert status == 0, out
  assert f"continuing after step {good} of {_STEPS}" in out
  _assert_same_run(workdir, reference)
