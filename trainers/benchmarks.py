# SPDX-License-Identifier: Apache-2.0
"""Benchmarks during training: `ramjax eval` on the model in memory.

They run on checkpoints, when these are saved: what was measured is then still
there, and a run that is killed meanwhile measures when it goes on.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.models.config import LlamaConfig
from ramjax.trainers import critic
from ramjax.trainers.state import TrainState

# Below a run's folder; `ramjax report` looks there, too.
FOLDER = "evals"


@dataclasses.dataclass(frozen=True)
class SavedModel:
  """A model that is in memory and, the same, in a run's checkpoint.

  Attributes:
    workdir: The run's folder.
    step: Of the checkpoint.
    average: Whether it is the moving average of the weights.
    params: Its parameters, adapters included.
    config: Its shape.
    mesh: Where the parameters are.
  """

  workdir: pathlib.Path
  step: int
  average: bool
  params: Any
  config: LlamaConfig
  mesh: Mesh


class Runner(Protocol):
  """Runs benchmarks; `ramjax train` brings one."""

  def check(self, command: str) -> None:
    """Refuses a command that could not run, before a run begins.

    Args:
      command: What would follow `ramjax eval`, without model and folder.

    Raises:
      ValueError: It cannot be used.
    """
    ...

  def run(
    self, command: str, model: SavedModel, folder: pathlib.Path
  ) -> Mapping[str, float]:
    """Runs one; its figures by name.

    Args:
      command: See `check`.
      model: What is measured.
      folder: Gets what the benchmark writes.

    Raises:
      ValueError, OSError: It has no figures.
    """
    ...

  def is_done(self, folder: pathlib.Path) -> bool:
    """Whether a folder has what `run` leaves at its end."""
    ...


class Benchmarks:
  """The benchmarks of a run's config."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    runner: Runner | None,
  ):
    """Checks the commands in `config.evals.benchmarks`.

    Args:
      config: Of the run: `evals.benchmarks`, `optim.ema_decay` and
        `run.total_steps` are read.
      workdir: Its folder.
      runner: Runs them; None where nothing can.

    Raises:
      ValueError: A command or a period that cannot be used, or no runner.
    """
    self._wanted = config.evals.benchmarks.to_dict()
    self._workdir = workdir
    self._total = config.run.total_steps
    self._average = config.optim.ema_decay > 0
    self._runner = runner
    self._failed: dict[str, str] = {}
    for name, entry in self._wanted.items():
      _check(name, entry, runner)

  def due(self, step: int) -> list[str]:
    """Names of those that are to run at a step and have no figures yet."""
    return [
      name
      for name, entry in self._wanted.items()
      if _is_due(step, entry["every_steps"], self._total)
      and self._runner is not None
      and not self._runner.is_done(self._folder(name, step))
    ]

  def evaluate(
    self,
    state: TrainState,
    step: int,
    model_config: LlamaConfig,
    mesh: Mesh,
    say: Callable[[str], None],
  ) -> dict[str, float]:
    """Runs those that are due; metrics named `eval/NAME/...`.

    One that fails is told and remembered; the run goes on.

    Args:
      state: As in the checkpoint of the step.
      step: Of the state.
      model_config: Of the model.
      mesh: Where the state is.
      say: Gets a line for each.
    """
    assert self._runner is not None
    model = SavedModel(
      self._workdir,
      step,
      self._average,
      critic.without(state.eval_params),
      model_config,
      mesh,
    )
    metrics = {}
    for name in self.due(step):
      command = self._wanted[name]["command"]
      say(f"benchmark {name} at step {step}: ramjax eval {command}")
      folder = self._folder(name, step)
      try:
        figures = self._runner.run(command, model, folder)
      except (ValueError, OSError) as error:
        self._failed[f"{name} at step {step}"] = str(error)
        say(f"benchmark {name} FAILED at step {step}: {error}")
        continue
      metrics |= {f"eval/{name}/{key}": x for key, x in figures.items()}
      shown = ", ".join(f"{key} {x:.4g}" for key, x in figures.items())
      say(f"benchmark {name} at step {step}: {shown}")
    return metrics

  def refuse_failed(self) -> None:
    """Ends a run some of whose benchmarks failed with an error.

    Raises:
      ValueError: Names them.
    """
    if self._failed:
      told = "\n  ".join(f"{k}: {error}" for k, error in self._failed.items())
      raise ValueError(
        f"training is finished and saved, but benchmarks failed:\n  {told}\n"
        "The same command again runs those of the last step; `ramjax eval` runs"
        " any, with --model and --step."
      )

  def _folder(self, name: str, step: int) -> pathlib.Path:
    return self._workdir / FOLDER / name / f"step_{step:08d}"


def _is_due(step: int, every: int, total: int) -> bool:
  return step == total or (every > 0 and step > 0 and step % every == 0)


def _check(name: str, entry: Any, runner: Runner | None) -> None:
  what = f"evals.benchmarks.{name}"
  if not name.isidentifier():
    raise ValueError(
      f"evals.benchmarks: {name!r} names a folder and metrics: take letters,"
      " digits and _."
    )
  if not isinstance(entry, Mapping) or set(entry) != {"command", "every_steps"}:
    raise ValueError(
      f"{what} must be made by base.benchmark(command, every_steps=...)."
    )
  if entry["every_steps"] < 0:
    raise ValueError(
      f"{what}.every_steps={entry['every_steps']} must be at least 0; 0 is only"
      " at the end."
    )
  if runner is None:
    raise ValueError(
      f"{what}: benchmarks run under `ramjax train` alone. Start the run with"
      " that, or leave them out."
    )
  if jax.process_count() > 1:
    raise ValueError(
      f"{what}: benchmarks run in one process, and there are"
      f" {jax.process_count()}: leave them out, and run `ramjax eval` on the"
      " checkpoints."
    )
  try:
    runner.check(entry["command"])
  except ValueError as error:
    raise ValueError(f"{what}: {error}") from error
