# SPDX-License-Identifier: Apache-2.0
"""What a training run left in its WORKDIR, read and checked for a report."""

import dataclasses
import itertools
import json
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from ramjax.tools import report_evals
from ramjax.tools.report_budget import Budget
from ramjax.tools.report_evals import Shown
from ramjax.trainers import recorder, round_files

METRICS = recorder.METRICS_FILE
# What a run in rounds has in its place: a line a round.
ROUNDS = round_files.LOG
# Where `ramjax eval --out` and training put evaluations of a run.
EVALS = "evals"

# Rounds' names with so many digits are nobody's.
_ROUND = re.compile(r"round_([0-9]{1,9})")
# Steps beyond this are no counts: a float could not tell them apart.
_MOST_STEPS = 2**53


@dataclasses.dataclass(frozen=True)
class Curve:
  """One metric over the run.

  Attributes:
    steps: [N] ascending steps, at least one.
    values: [N] values; may hold NaN and infinities.
    axis: What is counted: "step", or "round" of a run in rounds.
  """

  steps: list[int]
  values: list[float]
  axis: str = "step"


@dataclasses.dataclass(frozen=True)
class Sample:
  """One answer of the model to one held-out prompt, at one step."""

  step: int
  index: int
  prompt: str
  response: str
  reference: str | None
  kind: str | None
  verified: bool | None


@dataclasses.dataclass(frozen=True)
class Run:
  """Everything a report is made of.

  Attributes:
    name: The WORKDIR's own name.
    curves: Metric name to its curve.
    wall_time_s: Seconds spent training, over all resumptions; None if no line
      says.
    samples: Ordered by step, then index.
    config: The resolved config; None if the file is missing.
    manifest: Where the run comes from; None if the file is missing.
    notes: What the reader should know: missing files, lines left out.
    evaluations: Those of `ramjax eval` in its folder `evals`, by name and step;
      and those of its rounds.
  """

  name: str
  curves: dict[str, Curve]
  wall_time_s: float | None
  samples: list[Sample]
  config: dict[str, Any] | None
  manifest: dict[str, Any] | None
  notes: list[str]
  evaluations: list[Shown] = dataclasses.field(default_factory=list)


def read_run(
  workdir: pathlib.Path, budget: Budget | None = None, *, whole: bool = False
) -> Run:
  """Reads a run's metrics, samples, config, manifest and evaluations.

  Args:
    workdir: The folder that `ramjax train --workdir` wrote.
    budget: What may be read of evaluations; None is that of a page of its own.
    whole: Whether all verdicts are kept, and not only those that a page shows.

  Returns:
    The run; what is missing is None or empty and named in its notes.

  Raises:
    FileNotFoundError: There is no such folder, or no metrics.jsonl in it.
    ValueError: A file is not what the trainer writes. A last line that was cut
      off is no error.
  """
  if not workdir.is_dir():
    raise FileNotFoundError(
      f"workdir={str(workdir)!r} is not a folder. Give the folder that"
      " `ramjax train --workdir=DIR` wrote."
    )
  if is_in_rounds(workdir):
    metrics_path, axis = workdir / ROUNDS, "round"
  else:
    metrics_path, axis = workdir / METRICS, "step"
  if not metrics_path.is_file():
    raise FileNotFoundError(
      f"{metrics_path} does not exist. `ramjax train --workdir=DIR` writes it"
      " from its first logged step on: give that folder."
    )
  notes: list[str] = []
  folders: dict[int | None, pathlib.Path] = {None: workdir / EVALS}
  folders |= _rounds(workdir)
  found = report_evals.read_run(folders, budget, whole=whole)
  curves, wall_time_s = _read_metrics(
    metrics_path, axis, notes, is_evaluated=bool(found.shown)
  )
  samples_path = workdir / "samples.jsonl"
  samples = []
  if axis == "step" or samples_path.is_file():
    samples = _read_samples(samples_path, notes)
  run = Run(
    name=workdir.resolve().name,
    curves=curves,
    wall_time_s=wall_time_s,
    samples=samples,
    config=_read_object(workdir / "config.json", "the config", notes),
    manifest=_read_object(workdir / "manifest.json", "the provenance", notes),
    notes=notes,
    evaluations=found.shown,
  )
  notes += found.problems
  return run


def is_run(workdir: pathlib.Path) -> bool:
  """Whether a folder is that of a run, in rounds or not."""
  return (workdir / METRICS).is_file() or is_in_rounds(workdir)


def is_in_rounds(workdir: pathlib.Path) -> bool:
  """Whether a folder is that of a run in rounds, which has its steps below."""
  return (workdir / ROUNDS).is_file() and not (workdir / METRICS).is_file()


def _rounds(workdir: pathlib.Path) -> dict[int, pathlib.Path]:
  """Where each round's run has its evaluations; none of another run."""
  found: dict[int, pathlib.Path] = {}
  for path in workdir.iterdir() if is_in_rounds(workdir) else ():
    match = _ROUND.fullmatch(path.name)
    if match and not path.is_symlink():
      found[int(match[1])] = path / round_files.FIT / EVALS
  return dict(sorted(found.items()))


def _read_metrics(
  path: pathlib.Path, axis: str, notes: list[str], *, is_evaluated: bool
) -> tuple[dict[str, Curve], float | None]:
  """Curves by name, and the wall time; entries that are no number are left."""
  points: dict[str, dict[int, float]] = {}
  times: list[float] = []
  resumed_at: list[int] = []
  previous = -1
  for where, line in _lines(path, notes):
    step = _step(line, where, axis)
    if step < previous:
      resumed_at.append(step)
    previous = step
    for key, value in line.items():
      if key == "time_s":
        if isinstance(value, (int, float)) and 0 <= value < math.inf:
          times.append(float(value))
      elif key != axis and (value is None or isinstance(value, (int, float))):
        points.setdefault(key, {})[step] = _number(value)
  if not points:
    notes.append(f"{path.name} holds no metric yet, so there are no curves.")
  elif not is_evaluated and not any(key.startswith("eval/") for key in points):
    notes.append(
      f"{path.name} holds no evaluation, so nothing here is about held-out data."
    )
  if resumed_at:
    steps = ", ".join(f"{step:,}" for step in resumed_at[:5])
    more = ", …" if len(resumed_at) > 5 else ""
    notes.append(
      f"The run was resumed (at step {steps}{more}). Where a step was logged"
      " twice, the later line is shown."
    )
  curves = {}
  for key, by_step in points.items():
    steps = sorted(by_step)
    curves[key] = Curve(steps, [by_step[step] for step in steps], axis)
  return curves, _wall_time(times)


def _wall_time(times: list[float]) -> float | None:
  """Seconds trained: a clock that jumps back was set anew by a resumption."""
  if not times:
    return None
  total = times[0]
  for before, after in itertools.pairwise(times):
    total += max(after - before, 0.0)
  return total


def _number(value: float | None) -> float:
  """A float; null stands for NaN, and whole numbers may be too large."""
  try:
    return math.nan if value is None else float(value)
  except OverflowError:
    return math.inf


def _read_samples(path: pathlib.Path, notes: list[str]) -> list[Sample]:
  if not path.is_file():
    notes.append(f"{path.name} is missing, so no samples are shown.")
    return []
  samples: dict[tuple[int, int], Sample] = {}
  for where, line in _lines(path, notes):
    step = _step(line, where)
    for key, allowed in (
      ("index", int),
      ("prompt", str),
      ("response", str),
      ("reference", (str, type(None))),
      ("kind", (str, type(None))),
      ("verified", (bool, type(None))),
    ):
      # Only what must be there has no default of null.
      if not isinstance(line.get(key), allowed):
        raise ValueError(
          f"{where}: {key} is a {type(line.get(key)).__name__}, and the"
          " trainer writes none such. Remove the line to report without it."
        )
    sample = Sample(
      step=step,
      index=line["index"],
      prompt=line["prompt"],
      response=line["response"],
      reference=line.get("reference"),
      kind=line.get("kind"),
      verified=line.get("verified"),
    )
    samples[step, sample.index] = sample
  return [samples[key] for key in sorted(samples)]


def _read_object(
  path: pathlib.Path, what: str, notes: list[str]
) -> dict[str, Any] | None:
  if not path.is_file():
    notes.append(f"{path.name} is missing, so {what} is not shown.")
    return None
  return _parse(path.read_bytes(), str(path))


def _lines(
  path: pathlib.Path, notes: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Each line's place and object; a cut last line becomes a note."""
  with path.open("rb") as file:
    for line_number, raw in enumerate(file, start=1):
      if not raw.strip():
        continue
      where = f"{path}, line {line_number}"
      try:
        parsed = _parse(raw, where)
      except ValueError:
        # Only the last line of a file can lack its newline.
        if raw.endswith(b"\n"):
          raise
        notes.append(
          f"The last line of {path.name} (line {line_number}) was cut off,"
          " as by a kill, and is left out."
        )
        return
      yield where, parsed


def _parse(raw: bytes, where: str) -> dict[str, Any]:
  try:
    parsed = json.loads(raw.decode("utf-8"))
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f"{where}: not JSON ({error}). The trainer writes one JSON object here:"
      " repair or remove it."
    ) from error
  if not isinstance(parsed, dict):
    raise ValueError(
      f"{where}: a JSON {type(parsed).__name__}, where the trainer writes an"
      " object. Repair or remove it."
    )
  return parsed


def _step(line: dict[str, Any], where: str, axis: str = "step") -> int:
  step = line.get(axis)
  if type(step) is not int or not 0 <= step < _MOST_STEPS:
    raise ValueError(
      f"{where}: {axis}={step!r:.40} is not a count of {axis}s, and every line"
      " has one. Repair or remove the line."
    )
  return step
