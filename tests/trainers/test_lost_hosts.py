# SPDX-License-Identifier: Apache-2.0
"""Two real processes: what happens to one, and where the other then is."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import tiny_compile
import tiny_held

from ramjax.models import sharding, source_params, weights
from ramjax.models.run_folder import RunFolder
from ramjax.tools import supervise

pytestmark = pytest.mark.slow

_STEPS = 30
_OVERRIDES = {
  "data.sources.tasks.path": "tasks:200?seed=0",
  "data.sources.tasks.eval_path": "",
  "data.sources.tasks.eval_rows": 4,
  "data.max_length": 64,
  "data.batch_size": 4,
  "tokenizer.train_vocab_size": 400,
  "model.vocab_size": 400,
  "model.width": 16,
  "model.num_layers": 1,
  "optim.warmup_steps": 4,
  "optim.max_skipped": 1,
  "run.total_steps": _STEPS,
  "run.log_every": 1,
  "run.check_replicas_every": 10,
  "evals.every_steps": 0,
  "evals.num_prompts": 0,
  "checkpoint.every_steps": 5,
  "checkpoint.keep": 3,
}
_HEARTBEAT_S = 15


def _free_port():
  with socket.socket() as bound:
    bound.bind(("localhost", 0))
    return bound.getsockname()[1]


def _command(workdir, port, index):
  return [
    sys.executable,
    "-m",
    "ramjax.trainers.launch",
    f"--config={tiny_held.__file__}",
    f"--workdir={workdir}",
    f"--coordinator=localhost:{port}",
    "--num-processes=2",
    f"--process-id={index}",
    f"--heartbeat-timeout={_HEARTBEAT_S}",
    *(f"--config.{name}={value}" for name, value in _OVERRIDES.items()),
  ]


def _start(workdir, *, supervised=False):
  """Both processes, two devices each; what they say goes to files."""
  environment = os.environ | {
    "XLA_FLAGS": tiny_compile.quick(2),
    "JAX_PLATFORMS": "cpu",
    tiny_held.HOLD: str(_hold(workdir)),
  }
  port = _free_port()
  processes = []
  for index in range(2):
    command = _command(workdir, port, index)
    if supervised:
      command = [
        *(sys.executable, "-m", "ramjax.tools.cli", "supervise"),
        *("--wait=1", "--", *command),
      ]
    with _log(workdir, index).open("w") as log:
      processes.append(
        subprocess.Popen(
          command, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
      )
  return processes


def _log(workdir, index):
  return workdir.parent / f"{workdir.name}.{index}.log"


def _hold(workdir):
  """The file that names the process which waits in the middle of the run."""
  return workdir.parent / f"{workdir.name}.hold"


def _logs(workdir):
  return "\n".join(_log(workdir, index).read_text() for index in range(2))


def _wait(processes, workdir):
  """The statuses; a process that does not end is killed, and the test fails."""
  try:
    return [process.wait(timeout=400) for process in processes]
  finally:
    for process in processes:
      process.kill()
    print(_logs(workdir)[-4000:])


def _wait_for_step(workdir, step, processes):
  """Until `step` is logged; both processes must be alive then."""
  path = workdir / "metrics.jsonl"
  deadline = time.monotonic() + 400
  while time.monotonic() < deadline:
    if path.exists() and f'"step": {step},' in path.read_text():
      return
    assert all(p.poll() is None for p in processes), _logs(workdir)
    time.sleep(0.05)
  raise AssertionError(f"step {step} was not reached in 400 s")


def _digest(workdir):
  """SHA-256 of the parameters after the last step."""
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  params = source_params.load_params(RunFolder(workdir, step=_STEPS), mesh)
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(params):
    digest.update(np.asarray(leaf).tobytes())
  return digest.hexdigest()


def _losses(workdir):
  """Loss by step; the later line wins."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  entries = [json.loads(line) for line in lines]
  return {e["step"]: e["train/loss"] for e in entries if "train/loss" in e}


@pytest.fixture(name="reference", scope="module")
def _reference(tmp_path_factory):
  """A run of two processes that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("reference") / "run"
  assert _wait(_start(workdir), workdir) == [0, 0]
  return workdir


def _assert_same_run(workdir, reference):
  assert _digest(workdir) == _digest(reference)
  assert _losses(workdir) == _losses(reference)


# Process 0 holds the coordination service: what it takes down is more.
@pytest.mark.parametrize("index", [0, 1])
def test_sigterm_to_one_process_stops_both_after_the_same_step(
  tmp_path, reference, index
):
  workdir = tmp_path / "run"
  _hold(workdir).write_text(str(index))
  processes = _start(workdir)
  _wait_for_step(workdir, 7, processes)
  processes[index].send_signal(signal.SIGTERM)
  sent = time.monotonic()
  assert _wait(processes, workdir) == [75, 75]
  saved = weights.checkpoint_steps(workdir)[-1]
  assert 7 < saved < _STEPS
  print(f"T7: both saved step {saved} and exited in {_since(sent)}")
  _hold(workdir).unlink()
  assert _wait(_start(workdir), workdir) == [0, 0]
  assert f"continuing after step {saved} of {_STEPS}" in _logs(workdir)
  _assert_same_run(workdir, reference)


def _since(start):
  return f"{time.monotonic() - start:.1f} s"


def _child_of(supervisor):
  """The process that a supervisor runs."""
  path = f"/proc/{supervisor.pid}/task/{supervisor.pid}/children"
  with open(path) as file:
    (child,) = file.read().split()
  return int(child)


@pytest.mark.skipif(
  not os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children"),
  reason="finds the supervised process through Linux's /proc",
)
# Process 0 holds the coordination service: what it takes down is more.
@pytest.mark.parametrize("index", [0, 1])
def test_after_a_kill_supervised_processes_end_where_the_undisturbed_ones_do(
  tmp_path, reference, index
):
  workdir = tmp_path / "run"
  _hold(workdir).write_text(str(index))
  processes = _start(workdir, supervised=True)
  _wait_for_step(workdir, 12, processes)
  os.kill(_child_of(processes[index]), signal.SIGKILL)
  _hold(workdir).unlink()
  killed = time.monotonic()
  survivor = _log(workdir, 1 - index)
  while "ramjax supervise: status" not in survivor.read_text():
    assert time.monotonic() - killed < 4 * _HEARTBEAT_S, "it did not end"
    time.sleep(0.1)
  status = int(
    re.findall("supervise: status ([0-9]+)", survivor.read_text())[0]
  )
  print(f"T8: the survivor ended with status {status} in {_since(killed)}")
  assert supervise.is_worth_a_restart(status)
  assert _wait(processes, workdir) == [0, 0]
  _assert_same_run(workdir, reference)
  told = _log(workdir, 0).read_text().splitlines()
  (goodput,) = [line for line in told if line.startswith("goodput ")]
  assert "in 2 starts" in goodput and "replayed" in goodput
  print(f"T9: equal bits, finished in {_since(killed)}; {goodput}")
