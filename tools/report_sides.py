# SPDX-License-Identifier: Apache-2.0
"""What a report compares: runs, and evaluations that stand alone."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.tools import eval_result, report_evals, report_points, report_run
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
  return (folder / eval_result.FILE).is_file() and not _is_run(folder)


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
    if not _is_run(folder) and not is_evaluation(folder):
      raise FileNotFoundError(
        f"{str(folder)!r} is neither a run's folder, with {report_run.METRICS},"
        f" nor an evaluation's, with {eval_result.FILE}."
      )
    path = folder.resolve()
    if path in seen:
      raise ValueError(
        f"{str(folder)!r} is the same folder as {str(seen[path])!r}: give each"
        " once."
      )
    seen[path] = folder
  names = _names([*seen])
  return [
    _side(folder, name) for folder, name in zip(folders, names, strict=True)
  ]


def _is_run(folder: pathlib.Path) -> bool:
  return (folder / report_run.METRICS).is_file()


def _side(folder: pathlib.Path, name: str) -> Side:
  if _is_run(folder):
    run = report_run.read_run(folder)
    last = report_evals.last_steps(run.evaluations)
    return Side(name, run, last, list(run.notes))
  notes: list[str] = []
  evaluation = report_evals.read(folder / eval_result.FILE)
  shown = Shown("", None, folder, evaluation)
  return Side(name, None, [report_evals.with_verdicts(shown, notes)], notes)


def _names(folders: Sequence[pathlib.Path]) -> list[str]:
  """The ends of paths, of as many parts as make all of them differ."""
  longest = max(len(folder.parts) for folder in folders)
  for number in range(1, longest):
    names = ["/".join(folder.parts[-number:]) for folder in folders]
    if len(set(names)) == len(names):
      return names
  return [str(folder) for folder in folders]
