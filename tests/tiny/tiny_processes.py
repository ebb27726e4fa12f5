# SPDX-License-Identifier: Apache-2.0
"""Runs of a tiny model in several processes of this machine, for tests.

As a program it is one of the processes: a few runs, one after the other, as
starting Python and compiling take longer than they do.
"""

import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import tiny_compile
import tiny_model_folder

from ramjax.configs import base

STEPS = 4
_SAVED = 2
# Of all jobs of a call; on a busy machine processes wait long for each other.
_SECONDS = 600


@dataclasses.dataclass(frozen=True)
class Job:
  """A run.

  Attributes:
    kind: A name in `KINDS`.
    workdir: Its folder.
    fields: Of the config, by dotted name.
    of_last: The same, of the last process alone.
    goes_on: Folder of a finished run, which this one goes on with from the
      middle: its copy is as a kill then would have left it.
    terminated: A process, and after how many answers of its rollouts SIGTERM
      comes to it.
  """

  kind: str
  workdir: str
  fields: dict[str, Any] = dataclasses.field(default_factory=dict)
  of_last: dict[str, Any] = dataclasses.field(default_factory=dict)
  goes_on: str | None = None
  terminated: tuple[int, int] | None = None


def write_model(folder: pathlib.Path) -> None:
  """`model`, which all runs start from, in `folder`."""
  config = dataclasses.replace(
    tiny_model_folder.CONFIG,
    width=32,
    mlp_width=32,
    head_dim=8,
    max_positions=128,
  )
  tiny_model_folder.write(folder / "model", config)


def run(
  jobs: Sequence[Job],
  folder: pathlib.Path,
  *,
  num_processes: int,
  num_devices: int = 4,
) -> list[list[str]]:
  """Runs jobs in processes that share `num_devices` devices of a CPU.

  Args:
    jobs: One after the other.
    folder: Holds what `write_model` wrote.
    num_processes: Divides `num_devices`.
    num_devices: In all.

  Returns:
    What each process said of each job: "" where it came to its end, "preempted"
    where it stopped before, else the error.
  """
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  local = num_devices // num_processes
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": tiny_compile.quick(local),
  }
  told = json.dumps([dataclasses.asdict(job) for job in jobs])
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, __file__, str(folder), str(port)),
        *(str(num_processes), str(index), told),
      ],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env=environment,
    )
    for index in range(num_processes)
  ]
  try:
    results = []
    for process in processes:
      out, err = process.communicate(timeout=_SECONDS)
      assert process.returncode == 0, err[-4000:]
      results.append(json.loads(out.splitlines()[-1]))
    return results
  finally:
    for process in processes:
      process.kill()


def _sft() -> Any:
  config = base.sft()
  config.data.sources.main = base.source("tasks:80?seed=0", eval_rows=9)
  config.data.template = "plain"
  config.evals.num_prompts = 3
  return config


def _dpo() -> Any:
  config = base.preference(dpo=dict(weight=1.0, beta=0.1))
  config.data.sources.main = base.source("task_pairs:60?seed=0")
  return config


def _ppo() -> Any:
  config = base.ppo(own=dict(weight=1.0))
  config.data.sources.main = base.source("tasks:40?seed=0")
  config.scores.normalise = True
  config.rollout.prompts = 8
  config.rollout.group_size = 2
  config.rollout.max_new_tokens = 6
  config.rollout.num_slots = 8
  # Four updates a rollout, so that the checkpoint lies within one.
  config.rollout.epochs = 2
  return config


KINDS = {"sft": _sft, "dpo": _dpo, "ppo": _ppo}


def _config(job: Job, folder: pathlib.Path) -> Any:
  config = KINDS[job.kind]()
  config.init.from_hf = str(folder / "model")
  config.data.max_length = 96
  config.data.batch_size = 8
  config.data.num_microbatches = 2
  config.optim.learning_rate = 3e-3
  config.optim.warmup_steps = 1
  config.run.total_steps = STEPS
  config.run.log_every = 1
  config.run.first_step_checks = False
  config.run.compilation_cache = ""
  config.evals.every_steps = 0
  config.evals.max_new_tokens = 5
  config.checkpoint.every_steps = _SAVED
  config.mesh.data = 2
  config.update_from_flattened_dict(job.fields)
  return config


def _cut_back(finished: str, workdir: str) -> None:
  shutil.copytree(finished, workdir)
  shutil.rmtree(pathlib.Path(workdir, "checkpoints", str(STEPS)))
  # What is compared must have been computed again.
  log = pathlib.Path(workdir, "metrics.jsonl")
  lines = log.read_text().splitlines(keepends=True)
  kept = [line for line in lines if json.loads(line)["step"] <= _SAVED]
  log.write_text("".join(kept))


def _own_reward(answers: Sequence[Any]) -> list[float]:
  """Another number in every process, if more than one were to ask."""
  import jax

  shift = 100 * jax.process_index()
  return [shift + sum(map(ord, a.response)) % 7 / 3 for a in answers]


@contextlib.contextmanager
def _terminated_after(num_answers: int) -> Iterator[None]:
  """SIGTERM comes to this process as so many answers have been sampled.

  Of several processes, which look after each answer and nowhere else.
  """
  from ramjax.trainers.shared_stop import SharedStop

  real, left = SharedStop.check, itertools.count(num_answers - 1, -1)

  def check(stop: SharedStop) -> None:
    if next(left) == 0:
      os.kill(os.getpid(), signal.SIGTERM)
    real(stop)

  SharedStop.check = check
  try:
    yield
  finally:
    SharedStop.check = real


def _main(folder: str, port: str, num: str, index: str, told: str) -> None:
  import jax

  from ramjax.trainers import loop, own_rewards, processes

  if int(num) > 1:
    jax.distributed.initialize(f"localhost:{port}", int(num), int(index))
  own_rewards.loaded = lambda: {"own": _own_reward}
  said = []
  for fields in json.loads(told):
    job = Job(**fields)
    config = _config(job, pathlib.Path(folder))
    if int(index) == int(num) - 1:
      config.update_from_flattened_dict(job.of_last)
    if job.goes_on is not None:
      finished = job.goes_on
      processes.first_tells(lambda a=finished, b=job.workdir: _cut_back(a, b))
    algorithm = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
    ends = contextlib.nullcontext()
    if job.terminated is not None and job.terminated[0] == int(index):
      ends = _terminated_after(job.terminated[1])
    try:
      with ends:
        outcome = algorithm.main(config, pathlib.Path(job.workdir))
    except ValueError as error:
      said.append(str(error))
    else:
      said.append("" if outcome is loop.Outcome.FINISHED else outcome.value)
  print(json.dumps(said))


if __name__ == "__main__":
  _main(*sys.argv[1:])
