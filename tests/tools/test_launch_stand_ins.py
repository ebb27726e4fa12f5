# SPDX-License-Identifier: Apache-2.0
"""Rendered launches run end to end, on stand-ins for `gcloud` and `srun`.

The stand-ins start two local processes with the variables by which those of a pod
or of a SLURM job find each other.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
import tiny_compile
import tiny_held

from ramjax.tools import launch

pytestmark = pytest.mark.slow

_STEPS = 40
# Fields of the smallest run that trains on something.
_FIELDS = {
  "data.sources.tasks.path": "tasks:300?seed=0",
  "data.sources.tasks.eval_path": "",
  "data.sources.tasks.eval_rows": 0,
  "data.max_length": 128,
  "data.batch_size": 4,
  "tokenizer.train_vocab_size": 400,
  "model.vocab_size": 400,
  "model.width": 16,
  "model.num_layers": 1,
  "optim.warmup_steps": 1,
  "run.log_every": 1,
  "run.total_steps": _STEPS,
  "evals.every_steps": 0,
  "evals.num_prompts": 0,
  "checkpoint.every_steps": 1000,
}

# As `gcloud compute tpus queued-resources ssh --node=all --worker=all` does, runs
# the command on each host: a folder, and the variables of two slices of one host
# each on GKE. (Those of a TPU VM are behind its metadata server.)
_GCLOUD = """\
#!{python}
import json, os, subprocess, sys

with open({log!r}, "a") as file:
  file.write(json.dumps(sys.argv[1:]) + "\\n")
action, *rest = sys.argv[4:]
options = dict(word.split("=", 1) for word in rest if "=" in word)
if action == "describe":
  print("ACTIVE")
if action != "ssh":
  sys.exit()
hosts = range(2) if options["--node"] == "all" else [int(options["--node"])]
environ = os.environ | dict(
  TPU_WORKER_HOSTNAMES="localhost",
  TPU_WORKER_ID="0",
  MEGASCALE_NUM_SLICES="2",
  MEGASCALE_COORDINATOR_ADDRESS="localhost",
  JAX_FORCE_TPU_INIT="1",
  JAX_COORDINATOR_PORT={port!r},
)
started = [
  subprocess.Popen(
    ["sh", "-c", options["--command"]],
    cwd={home!r} + str(host),
    env=environ | dict(HOME={home!r} + str(host), MEGASCALE_SLICE_ID=str(host)),
  )
  for host in hosts
]
sys.exit(max(process.wait() for process in started))
"""

# Starts the tasks of a step, sends them the signals that it gets, numbers their
# lines with --label and ends with the highest of their statuses.
_SRUN = """\
#!{python}
import os, signal, subprocess, sys, threading

command = sys.argv[1:]
while command[0].startswith("--"):
  command.pop(0)

def start(task):
  environ = os.environ | dict(
    SLURM_JOB_ID={job!r}, SLURM_STEP_NODELIST="localhost", SLURM_NTASKS="2",
    SLURM_PROCID=str(task), SLURM_LOCALID=str(task),
  )
  return subprocess.Popen(
    command, env=environ, text=True,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
  )

def label(task, stream):
  for line in stream:
    print(f"{{task}}: {{line}}", end="", flush=True)

tasks = [start(task) for task in range(2)]
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks])
readers = [
  threading.Thread(target=label, args=(number, task.stdout))
  for number, task in enumerate(tasks)
]
for reader in readers:
  reader.start()
with open({pid!r}, "w") as file:
  file.write(str(os.getpid()))
for reader in readers:
  reader.join()
statuses = [task.wait() for task in tasks]
print("statuses", *statuses, flush=True)
sys.exit(max(status if status >= 0 else 128 - status for status in statuses))
"""


def _free_port(first, last):
  """A port from `first` to `last` on which nothing listens."""
  while True:
    port = random.randint(first, last)
    with socket.socket() as probe:
      if probe.connect_ex(("localhost", port)):
        return port


def _program(path, text):
  path.write_text(text)
  path.chmod(0o755)


@pytest.fixture
def programs(tmp_path) -> pathlib.Path:
  """A folder at the front of the PATH: what a launch runs is looked for there."""
  folder = tmp_path / "bin"
  folder.mkdir()
  return folder


def _hold(programs):
  """The file that names the processes which wait in the middle of the run."""
  return programs.parent / "hold"


def _environ(programs):
  """One CPU device a process; the compiler's quickest."""
  return {
    tiny_held.HOLD: str(_hold(programs)),
    "PATH": f"{programs}:/usr/bin:/bin",
    "HOME": str(programs.parent),
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": tiny_compile.quick(),
  }


def _write(capsys, path, workdir, *options):
  fields = [f"--config.{name}={value}" for name, value in _FIELDS.items()]
  status = launch.main(
    [
      *("--name=tiny", f"--config={tiny_held.__file__}"),
      f"--workdir={workdir}",
      *(*options, *fields),
    ]
  )
  out, err = capsys.readouterr()
  assert status == 0, err
  path.write_text(out)


def _steps(workdir):
  """Logged train steps, in order."""
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines() if path.exists() else []
  records = [json.loads(line) for line in lines if line.endswith("}")]
  return [r["step"] for r in records if "train/loss" in r]


def _checkpoints(workdir):
  return sorted(
    int(path.name)
    for path in (workdir / "checkpoints").iterdir()
    if path.name.isdecimal()
  )


def _wait_until(done, what, seconds=900):
  deadline = time.monotonic() + seconds
  while not done():
    assert time.monotonic() < deadline, f"{what} did not come"
    time.sleep(0.05)


def _assert_whole_run(workdir, stopped_at):
  """The run went on where it was stopped, and one process wrote its log."""
  assert 0 < stopped_at < _STEPS
  assert _steps(workdir) == list(range(1, _STEPS + 1))
  assert _checkpoints(workdir)[-1] == _STEPS
  manifest = json.loads((workdir / "manifest.json").read_text())
  assert manifest["devices"]["processes"] == 2


def test_tpu_vms_train_stop_and_continue(tmp_path, programs, capsys, request):
  home, log = str(tmp_path / "host"), tmp_path / "gcloud.jsonl"
  values = dict(python=sys.executable, log=str(log), home=home)
  port = str(_free_port(20_000, 30_000))
  _program(programs / "gcloud", _GCLOUD.format(port=port, **values))
  hosts = [pathlib.Path(f"{home}{host}", "ramjax-tiny") for host in range(2)]
  for host in hosts:
    # What `setup` would have made, by downloads.
    (host / "venv" / "bin").mkdir(parents=True)
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    _program(host / "venv" / "bin" / "python", python)
  script, workdir = tmp_path / "run.sh", tmp_path / "shared" / "run"
  where = ("--on=tpu_vm", "--topology=v5e-4", "--slices=2")
  _write(
    capsys,
    *(script, workdir, *where, "--zone=us-east5-a", "--install=ramjax"),
  )

  def act(action):
    done = subprocess.run(
      ["bash", script, action],
      env=_environ(programs),
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  def ended():
    return all((host / "status").exists() for host in hosts)

  def states():
    return [line.partition(": ")[2] for line in act("status").splitlines()]

  def logs():
    return [(host / "log").read_text() for host in hosts]

  request.addfinalizer(lambda: ended() or act("stop"))
  _hold(programs).write_text("0 1")
  act("create")
  assert "ACTIVE" in act("wait")
  act("run")
  _wait_until(lambda: _steps(workdir) or ended(), "a step")
  assert states() == ["running"] * 2, logs()
  act("stop")
  _wait_until(ended, "the end of the hosts")
  assert states() == ["ended with 75"] * 2, logs()
  (stopped_at,) = _checkpoints(workdir)
  assert logs()[0].startswith("2 processes (GKE TPU), 2 x cpu, 1 in this one")
  _hold(programs).unlink()
  act("run")
  _wait_until(ended, "the end of the run")
  assert states() == ["ended with 0"] * 2, logs()
  _assert_whole_run(workdir, stopped_at)
  assert f"continuing after step {stopped_at} of {_STEPS}" in logs()[0]
  assert f"/{_STEPS}  loss" in logs()[0] and "loss" not in logs()[1]
  act("delete")
  actions = [json.loads(line)[3] for line in log.read_text().splitlines()]
  assert (actions[0], actions[-1]) == ("create", "delete")


def test_a_slurm_job_trains_is_requeued_and_continues(
  tmp_path, programs, capsys
):
  # JAX takes the port from the job's number: 61,440 and the rest of it by 4,096.
  job = str(_free_port(61_440, 65_535) - 61_440 + 4_096 * 9)
  pid = tmp_path / "srun.pid"
  values = dict(python=sys.executable, pid=str(pid), job=job)
  _program(programs / "srun", _SRUN.format(**values))
  _program(programs / "scontrol", '#!/bin/sh\necho "scontrol $@"\n')
  script, workdir = tmp_path / "run.sbatch", tmp_path / "run"
  _write(capsys, script, workdir, "--on=slurm", "--topology=h100x2")

  def start():
    return subprocess.Popen(
      ["bash", script],
      env=_environ(programs) | {"SLURM_JOB_ID": job},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  _hold(programs).write_text("0 1")
  first = start()
  _wait_until(
    lambda: _steps(workdir) or first.poll() is not None, "the first step"
  )
  assert first.poll() is None, first.communicate()[0]
  os.kill(int(pid.read_text()), signal.SIGTERM)
  out, _ = first.communicate(timeout=900)
  assert "statuses 75 75" in out and first.returncode == 75, out
  assert f"scontrol requeue {job}" in out
  (stopped_at,) = _checkpoints(workdir)
  assert "0: 2 processes (SLURM), 2 x cpu, 1 in this one" in out
  _hold(programs).unlink()
  second = start()
  out, _ = second.communicate(timeout=900)
  assert "statuses 0 0" in out and second.returncode == 0, out
  assert "scontrol" not in out
  _assert_whole_run(workdir, stopped_at)
  assert f"0: continuing after step {stopped_at} of {_STEPS}" in out
