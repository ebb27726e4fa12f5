# SPDX-License-Identifier: Apache-2.0
"""Benchmarks during training: `ramjax eval` on the model in memory.

They run on checkpoints, when these are saved, so that a run that is killed
meanwhile measures when it goes on. What one writes lies in
`evals/NAME/step_00000500/` of the run's folder; of one that fails, why.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.models.config import LlamaConfig
from ramjax.trainers import critic
from ramjax.trainers.recorder import METRICS_FILE
from ramjax.trainers.state import TrainState

# Below a run's folder; `ramjax report` looks there, too.
FOLDER = "evals"
# In the folder of one that failed: why.
FAILED_FILE = "failed.txt"


@dataclasses.dataclass(frozen=True)
class SavedModel:
  """A model that is in memory and in a run's checkpoint.

  In memory it is as it is trained: adapters beside their base, which may be
  quantised, and weights in float32 that are computed with in `config.dtype`.
  Loaded from the checkpoint, adapters are merged into the base as it is stored,
  and all is held in that dtype: figures may then differ a little.

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

  def check(self, command: str, config: LlamaConfig | None) -> None:
    """Refuses a command that could not run, before a run begins.

    Args:
      command: What would follow `ramjax eval`, without model and folder.
      config: Of the run's model; None where that is not known yet.

    Raises:
      ValueError, OSError: It cannot be used.
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
      Exception, SystemExit: It has no figures.
    """
    ...

  def figures(self, folder: pathlib.Path) -> Mapping[str, float] | None:
    """The figures of one that ran to its end in a folder; None of another."""
    ...


class Log(Protocol):
  """Where figures go; `recorder.Recorder` is one."""

  def log(self, step: int, metrics: Mapping[str, float]) -> None:
    """Records metrics of a step."""
    ...

  def say(self, text: str) -> None:
    """Prints a line."""
    ...


class BenchmarksFailed(ValueError):
  """A run is finished and saved, but some of its benchmarks are not."""


class Benchmarks:
  """The benchmarks of a run's config."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    runner: Runner | None,
    model_config: LlamaConfig | None = None,
  ):
    """Checks the commands in `config.evals.benchmarks`.

    Args:
      config: Of the run: `evals.benchmarks`, `optim.ema_decay` and
        `run.total_steps` are read.
      workdir: Its folder.
      runner: Runs them; None where nothing can.
      model_config: Of its model; None where that is not known yet.

    Raises:
      ValueError: A command or a period that cannot be used, or no runner.
    """
    self._wanted = config.evals.benchmarks.to_dict()
    self._workdir = workdir
    self._total = config.run.total_steps
    self._average = config.optim.ema_decay > 0
    self._runner = runner
    self._logged = _logged(workdir / METRICS_FILE, self._wanted)
    check(config, runner, model_config)

  def due(self, step: int) -> list[str]:
    """Names of those that are to run at a step and are not in the log yet."""
    return [
      name
      for name, entry in self._wanted.items()
      if _is_due(step, entry["every_steps"], self._total)
      and (step, name) not in self._logged
    ]

  def model(
    self, state: TrainState, step: int, config: LlamaConfig, mesh: Mesh
  ) -> SavedModel:
    """What is measured.

    Args:
      state: As in the checkpoint of the step.
      step: Of the state.
      config: Of the model.
      mesh: Where the state is.
    """
    params = critic.without(state.eval_params)
    return SavedModel(self._workdir, step, self._average, params, config, mesh)

  def run(self, model: SavedModel, log: Log, check: Callable[[], None]) -> None:
    """Runs those that are due; logs metrics named `eval/NAME/...`.

    One that fails, in whatever way, is told and noted in its folder; training
    goes on.

    Args:
      model: From `model`.
      log: Gets the figures of each as it ends.
      check: Called before each; what it raises passes.
    """
    assert self._runner is not None
    for name in self.due(model.step):
      check()
      command = self._wanted[name]["command"]
      folder = self._folder(name, model.step)
      # A kill may have come between its end and the log.
      figures = self._runner.figures(folder)
      if figures is None:
        log.say(f"benchmark {name} at step {model.step}: ramjax eval {command}")
        try:
          figures = self._runner.run(command, model, folder)
        # Whatever it is, such as too little memory beside the optimizer's
        # state, it must not cost the run.
        except (Exception, SystemExit) as error:
          said = f"{type(error).__name__}: {error}"
          _note_failure(folder, said)
          log.say(f"benchmark {name} FAILED at step {model.step}: {said}")
          continue
      (folder / FAILED_FILE).unlink(missing_ok=True)
      log.log(model.step, {f"eval/{name}/{k}": x for k, x in figures.items()})
      self._logged.add((model.step, name))
      shown = ", ".join(f"{key} {x:.4g}" for key, x in figures.items())
      log.say(f"benchmark {name} at step {model.step}: {shown}")

  def _folder(self, name: str, step: int) -> pathlib.Path:
    return self._workdir / FOLDER / name / f"step_{step:08d}"


def check(
  config: ml_collections.ConfigDict,
  runner: Runner | None,
  model_config: LlamaConfig | None = None,
) -> None:
  """Refuses benchmarks that could not run; see `Benchmarks`.

  Raises:
    ValueError: A command or a period that cannot be used, or no runner.
  """
  for name, entry in config.evals.benchmarks.to_dict().items():
    _check(name, entry, runner, model_config)


def refuse_failed(workdirs: Iterable[pathlib.Path]) -> None:
  """Ends runs some of whose benchmarks failed with an error.

  Args:
    workdirs: Folders of runs.

  Raises:
    BenchmarksFailed: Names them, and why.
  """
  told = [
    f"{path.parent}: {path.read_text('utf-8').strip()}"
    for workdir in workdirs
    for path in sorted(workdir.glob(f"{FOLDER}/*/step_*/{FAILED_FILE}"))
  ]
  if told:
    raise BenchmarksFailed(
      "training is finished and saved, but benchmarks failed:\n  "
      + "\n  ".join(told)
      + "\nThe same command again runs those of the last step. `ramjax eval`"
      " runs any whose checkpoint was kept, with --model and --step"
      f" (checkpoint.keep_every keeps them); delete {FAILED_FILE} of what you do"
      " without."
    )


def _note_failure(folder: pathlib.Path, said: str) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  (folder / FAILED_FILE).write_text(said + "\n", "utf-8")


def _logged(path: pathlib.Path, names: Iterable[str]) -> set[tuple[int, str]]:
  """Step and name of each benchmark whose figures are in `metrics.jsonl`."""
  found = set()
  wanted = set(names)
  if not wanted or not path.is_file():
    return found
  # A kill may have torn the last line.
  for line in path.read_text("utf-8").splitlines():
    if not line.endswith("}"):
      continue
    record = json.loads(line)
    for key in record:
      first, _, rest = key.partition("/")
      name, slash, _ = rest.partition("/")
      if first == "eval" and slash and name in wanted:
        found.add((record["step"], name))
  return found


def _is_due(step: int, every: int, total: int) -> bool:
  return step == total or (every > 0 and step > 0 and step % every == 0)


def _check(
  name: str,
  entry: Any,
  runner: Runner | None,
  config: LlamaConfig | None,
) -> None:
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
  every = entry["every_steps"]
  if type(every) is not int or every < 0:
    raise ValueError(
      f"{what}.every_steps={every!r} must be a whole number, at least 0; 0 is"
      " only at the end."
    )
  if not isinstance(entry["command"], str):
    raise ValueError(f"{what}.command={entry['command']!r} must be a text.")
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
    runner.check(entry["command"], config)
  except (ValueError, OSError) as error:
    raise ValueError(f"{what}: {error}") from error
