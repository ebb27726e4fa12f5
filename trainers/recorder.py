# SPDX-License-Identifier: Apache-2.0
"""What a run tells: `metrics.jsonl`, `samples.jsonl`, the terminal, and sinks."""

import importlib
import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import tqdm

from ramjax.trainers import processes

# Beside those of one level (`eval/loss`), what a line on the terminal shows.
_SHOWN = ("rewards/accuracy", "rewards/margin")
_SHOWN_OF_ROLLOUTS = ("score", "kl", "response_tokens")

METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"


class Recorder:
  """Writes each logged step everywhere it should go.

  On a terminal there is a progress bar; in a pipe, one plain line per logged
  step. `metrics.jsonl` is always written; TensorBoard and W&B when asked. Of
  several processes the first one does all that, and the others nothing.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    *,
    total_steps: int,
    first_step: int,
    elapsed_s: float,
    tensorboard: bool,
    wandb_project: str,
    config: Mapping[str, Any],
  ):
    """Opens the files and sinks.

    Args:
      workdir: The run's folder.
      total_steps: Of the run, for the progress bar.
      first_step: Steps already done by an earlier process.
      elapsed_s: Seconds those took.
      tensorboard: Whether to write TensorBoard files to `workdir`.
      wandb_project: W&B project to log to; "" for none.
      config: The resolved config, for W&B.

    Raises:
      ModuleNotFoundError: A sink was asked for and is not installed.
    """
    self._workdir = workdir
    self._total_steps = total_steps
    self._start = time.monotonic() - elapsed_s
    self._process_start = time.monotonic()
    self._first_step = first_step
    self._silent = not processes.is_first()
    self._bar = self._tensorboard = self._wandb = None
    if self._silent:
      return
    if tensorboard:
      self._tensorboard = _tensorboard(workdir)
    self._wandb = _wandb(wandb_project, workdir, config)
    self._metrics = _open_for_append(workdir / METRICS_FILE)
    self._samples = _open_for_append(workdir / SAMPLES_FILE)
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=total_steps,
        initial=first_step,
        unit="step",
        dynamic_ncols=True,
      )

  @property
  def elapsed_s(self) -> float:
    """Seconds of this run, earlier processes included."""
    return time.monotonic() - self._start

  def log(self, step: int, metrics: Mapping[str, float]) -> None:
    """Records one step's metrics; names are `train/...` or `eval/...`."""
    if self._silent:
      return
    record = {"step": step, "time_s": round(self.elapsed_s, 3), **metrics}
    self._metrics.write(json.dumps(record) + "\n")
    self._metrics.flush()
    if self._tensorboard is not None:
      for name, value in metrics.items():
        self._tensorboard.add_scalar(name, value, step)
    if self._wandb is not None:
      self._wandb.log(dict(metrics), step=step)
    if self._bar is not None and "train/loss" in metrics:
      self._bar.set_postfix_str(
        f"loss {metrics['train/loss']:.3f},"
        f" {_thousands(metrics['train/tokens_per_s'])} tok/s"
      )
    elif (line := self._line(step, metrics)) is not None:
      self.say(line)

  def samples(self, samples: Sequence[Mapping[str, Any]]) -> None:
    """Appends generated samples to `samples.jsonl`."""
    if self._silent:
      return
    for sample in samples:
      self._samples.write(json.dumps(sample) + "\n")
    self._samples.flush()

  def advance(self) -> None:
    """Moves the progress bar by one step."""
    if self._bar is not None:
      self._bar.update(1)

  def say(self, text: str) -> None:
    """Prints a line without tearing the progress bar."""
    if self._bar is not None:
      self._bar.write(text, file=sys.stderr)
    elif not self._silent:
      print(text, flush=True)

  def close(self) -> None:
    """Flushes and closes everything."""
    if self._silent:
      return
    if self._bar is not None:
      self._bar.close()
    if self._tensorboard is not None:
      self._tensorboard.close()
    if self._wandb is not None:
      self._wandb.finish()
    self._metrics.close()
    self._samples.close()

  def _line(self, step: int, metrics: Mapping[str, float]) -> str | None:
    """What is shown of some metrics; None where that is nothing."""
    width = len(str(self._total_steps))
    parts = [f"step {step:>{width}}/{self._total_steps}"]
    if "train/loss" in metrics:
      shown = [f"train/{name}" for name in _SHOWN]
      done = step - self._first_step
      spent = time.monotonic() - self._process_start
      left = spent / max(done, 1) * (self._total_steps - step)
      parts += [
        f"loss {metrics['train/loss']:.4f}",
        *(
          f"{name.removeprefix('train/')} {metrics[name]:.4g}"
          for name in shown
          if name in metrics
        ),
        *(
          f"{name} {metrics[f'rollout/{name}']:.4g}"
          for name in _SHOWN_OF_ROLLOUTS
          if f"rollout/{name}" in metrics
        ),
        f"{_thousands(metrics['train/tokens_per_s'])} tok/s",
        f"padding {metrics['train/padding_share']:.0%}",
        f"left {tqdm.tqdm.format_interval(left)}",
      ]
    else:
      # One figure per task kind goes to the file and the report only.
      parts += [
        f"{name} {value:.4g}"
        for name, value in metrics.items()
        if name.count("/") == 1 or name.removeprefix("eval/") in _SHOWN
      ]
    return "  ".join(parts) if len(parts) > 1 else None


def _thousands(value: float) -> str:
  return f"{value / 1000:.1f}k" if value >= 1000 else f"{value:.0f}"


def _open_for_append(path: pathlib.Path) -> Any:
  """Opens a JSON Lines file; a line torn by a kill is closed first."""
  if path.exists():
    with path.open("rb+") as file:
      data = file.read()
      file.truncate(data.rfind(b"\n") + 1)
  return path.open("a")


def _tensorboard(workdir: pathlib.Path) -> Any:
  try:
    tensorboard = importlib.import_module("tensorboardX")
  except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
      "run.tensorboard=True needs tensorboardX: pip install"
      " 'ramjax[tensorboard]'."
    ) from error
  return tensorboard.SummaryWriter(str(workdir / "tensorboard"))


def _wandb(
  project: str, workdir: pathlib.Path, config: Mapping[str, Any]
) -> Any:
  if not project:
    return None
  try:
    wandb = importlib.import_module("wandb")
  except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
      f"run.wandb_project={project!r} needs wandb: pip install 'ramjax[wandb]'."
    ) from error
  return wandb.init(project=project, dir=workdir, config=dict(config))
