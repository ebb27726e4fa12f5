# SPDX-License-Identifier: Apache-2.0
"""What a report compares: runs, and evaluations that stand alone."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.tools import (
  eval_result,
  report_budget,
  report_evals,
  report_points,
  report_run,
)
from ramjax.tools.report_budget import Budget
from ramjax.tools.report_evals import Shown
from ramjax.tools.report_run import Run

# As many as there are colours.
MOST = len(report_points.RUNS)


class Side(NamedTuple):
  """A run, or an evaluation alone.

  Attributes:
    name: As much of its path as tells it from the others.
    run: None for an evaluation alone.
    evaluations: At their last step.
    notes: What the reader should know.
  """

  name: str
  run: Run | None
  evaluations: list[Shown]
  notes: list[str]


def is_evaluation(folder: pathlib.Path) -> bool:
  """Whether a folder is that of one evaluation, and of no run."""
  return (folder / eval_result.FILE).is_file() and not report_run.is_run(folder)


def read(folders: Sequence[pathlib.Path]) -> list[Side]:
  """Reads what is to be compared.

  Args:
    folders: Of runs or of evaluations.

  Raises:
    FileNotFoundError: One is neither.
    ValueError: One stands twice, there are too many, or a file is not what its
      writer writes.
  """
  if len(folders) > MOST:
    raise ValueError(
      f"{len(folders)} folders are given, and one page compares at most {MOST}."
    )
  seen: dict[pathlib.Path, pathlib.Path] = {}
  for folder in folders:
    if not report_run.is_run(folder) and not is_evaluation(folder):
      raise FileNotFoundError(
        f"{str(folder)!r} is neither a run's folder, with {report_run.METRICS}"
        f" or {report_run.ROUNDS}, nor an evaluation's, with {eval_result.FILE}."
      )
    path = folder.resolve()
    if path in seen:
      raise ValueError(
        f"{str(folder)!r} is the same folder as {str(seen[path])!r}: give each"
        " once."
      )
    seen[path] = folder
  names = _names([*seen])
  budget = report_budget.of_page()
  return [
    _side(folder, name, budget)
    for folder, name in zip(folders, names, strict=True)
  ]


def _side(folder: pathlib.Path, name: str, budget: Budget) -> Side:
  if report_run.is_run(folder):
    run = report_run.read_run(folder, budget, whole=True)
    last = report_evals.last_steps(run.evaluations)
    return Side(name, run, last, list(run.notes))
  notes: list[str] = []
  evaluation, data = report_evals.read(folder / eval_result.FILE, budget)
  shown = Shown("", None, folder, evaluation, data)
  try:
    shown = report_evals.with_verdicts(shown, budget, whole=True)
  except (ValueError, OSError) as error:
    notes.append(f"The verdicts of an evaluation are left out: {error}")
  return Side(name, None, [shown], notes)


def _names(folders: Sequence[pathlib.Path]) -> list[str]:
  """The ends of paths, of as many parts as make all of them differ."""
  longest = max(len(folder.parts) for folder in folders)
  for number in range(1, longest):
    names = ["/".join(folder.parts[-number:]) for folder in folders]
    if len(set(names)) == len(names):
      return names
  return [str(folder) for folder in folders]
