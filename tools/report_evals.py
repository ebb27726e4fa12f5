# SPDX-License-Identifier: Apache-2.0
"""The evaluations below a folder, read and checked for a report.

An `evaluation.json` may be anyone's: what does not have the shape that
`ramjax eval` writes is named and left out, and the rest is shown.
"""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.data import strict_json
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import (
  eval_result,
  report_budget,
  report_eval_data,
  report_eval_names,
  report_length_groups,
  report_verdicts,
)
from ramjax.tools.report_budget import Budget
from ramjax.tools.report_eval_data import Data
from ramjax.tools.report_tracks import Row
from ramjax.tools.report_verdicts import Verdicts

# Of one file: a thousand tables would not fill it.
MAX_BYTES = 8 << 20
# Evaluations of one run, and folders among which they are looked for.
MAX_FILES = 300
# Those whose verdicts are read, and that have charts of their own.
MOST_DETAILED = 24
_MAX_FOLDERS = 20_000
# What a benchmark, a model or a column may be called.
_MAX_NAME = 1000
_MAX_CELLS = 1_000_000
# A larger number could not be drawn.
_LARGEST = 1e100


class Shown(NamedTuple):
  """One evaluation.

  Attributes:
    name: Its folder below that of all, without the step and without the model
      that it is of; "" if it is that one.
    step: Of the run, where training wrote it; or the round.
    folder: Where its other files are.
    evaluation: What it came to.
    data: What it was made from.
    verdicts: A judge's, where they lie beside it; read at the last step alone.
    lengths: Win rates by length of all verdicts.
    axis: What `step` counts: "step" or "round".
  """

  name: str
  step: int | None
  folder: pathlib.Path
  evaluation: Evaluation
  data: Data = report_eval_data.NOTHING
  verdicts: Verdicts | None = None
  lengths: Sequence[Row] = ()
  axis: str = "step"


class Found(NamedTuple):
  """Evaluations by name and step, and a sentence on each that is left out."""

  shown: list[Shown]
  problems: list[str]


def read_run(
  folders: Mapping[int | None, pathlib.Path],
  budget: Budget | None = None,
  *,
  whole: bool = False,
) -> Found:
  """Every evaluation below the folders of a run, at any depth.

  Args:
    folders: By round, whose number is then the step of its last evaluation of
      each name; None is that of the run. They may be missing.
    budget: What may be read yet; None is that of a page of its own.
    whole: Whether all verdicts are kept, and not only those that a page shows.

  Returns:
    What was found. Links to folders are not followed.
  """
  budget = budget or report_budget.of_page()
  problems: list[str] = []
  shown: list[Shown] = []
  most = MAX_FILES
  for number, folder in folders.items():
    found = _read_folder(folder, budget, most, problems)
    most -= len(found)
    if number is not None:
      found = [
        one._replace(step=number, axis="round") for one in last_steps(found)
      ]
    shown += found
  shown.sort(key=lambda one: (one.name, -1 if one.step is None else one.step))
  detailed = {one.folder for one in last_steps(shown)[:MOST_DETAILED]}
  spent = []
  for i, one in enumerate(shown):
    try:
      if one.folder in detailed:
        shown[i] = with_verdicts(one, budget, whole=whole)
    except report_budget.Spent as error:
      spent.append(error)
    except (ValueError, OSError) as error:
      problems.append(f"The verdicts of an evaluation are left out: {error}")
  if spent:
    problems.append(
      f"The verdicts of {len(spent):,} evaluations are left out: {spent[0]}"
    )
  return Found(shown, problems)


def _read_folder(
  folder: pathlib.Path, budget: Budget, most: int, problems: list[str]
) -> list[Shown]:
  """Evaluations of one folder without their verdicts, by name and step."""
  shown: list[Shown] = []
  unread: list[pathlib.Path] = []
  paths, is_cut = _paths(folder, most)
  for path in paths:
    try:
      evaluation, data = read(path, budget)
    except report_budget.Spent:
      unread.append(path)
      continue
    except (ValueError, OSError) as error:
      problems.append(f"An evaluation is left out: {error}")
      continue
    name, step = report_eval_names.name_and_step(
      path.parent.relative_to(folder)
    )
    shown.append(Shown(name, step, path.parent, evaluation, data))
  if unread:
    problems.append(
      f"{len(unread):,} evaluations are left out, as one page reads"
      f" {budget.evaluations.most:,} bytes of them: {unread[0]}"
      f"{', …' if len(unread) > 1 else ''}"
    )
  names = report_eval_names.without_models(
    [(one.name, one.step, one.evaluation) for one in shown]
  )
  shown = [
    one._replace(name=name) for one, name in zip(shown, names, strict=True)
  ]
  if is_cut:
    problems.append(
      f"{folder} has more evaluations or folders than a page can show: the"
      f" first {len(paths):,} are here."
    )
  shown.sort(key=lambda one: (one.name, -1 if one.step is None else one.step))
  return shown


def with_verdicts(one: Shown, budget: Budget, *, whole: bool) -> Shown:
  """An evaluation with the verdicts that lie beside it.

  Args:
    one: The evaluation.
    budget: What may be read yet.
    whole: Whether all are kept, and not only those that a page shows.

  Raises:
    report_budget.Spent: They are larger than that.
    ValueError, OSError: They cannot be read.
  """
  verdicts = report_verdicts.read(one.folder, one.evaluation, budget.verdicts)
  if verdicts is None:
    return one
  lengths = report_length_groups.by_length(verdicts)
  kept = verdicts if whole else report_verdicts.condensed(verdicts)
  return one._replace(verdicts=kept, lengths=lengths)


def last_steps(shown: Sequence[Shown]) -> list[Shown]:
  """Of each name and benchmark, the evaluation at the last step."""
  last = {(one.name, one.evaluation.benchmark): one for one in shown}
  return list(last.values())


def _paths(folder: pathlib.Path, most: int) -> tuple[list[pathlib.Path], bool]:
  """Paths of evaluations, and whether there are more."""
  paths: list[pathlib.Path] = []
  for number, (root, folders, files) in enumerate(os.walk(folder)):
    folders.sort()
    if number >= _MAX_FOLDERS or len(paths) >= most:
      return paths, True
    if eval_result.FILE in files:
      paths.append(pathlib.Path(root) / eval_result.FILE)
  return paths, False


def read(path: pathlib.Path, budget: Budget) -> tuple[Evaluation, Data]:
  """Reads one evaluation, and what it was made from.

  Args:
    path: Of its file.
    budget: What may be read yet.

  Raises:
    report_budget.Spent: It is larger than that.
    ValueError: It is not what `ramjax eval` writes; with the path.
    OSError: It cannot be read.
  """
  if not path.is_file():
    raise ValueError(f"{path} is no regular file.")
  if path.stat().st_size <= MAX_BYTES:
    budget.evaluations.take(path)
  with path.open("rb") as file:
    raw = file.read(MAX_BYTES + 1)
  if len(raw) > MAX_BYTES:
    raise ValueError(
      f"{path} has more than {MAX_BYTES:,} bytes, and an evaluation has far less."
    )
  try:
    text = raw.decode("utf-8")
    value, end = strict_json.StrictDecoder().decode(
      text, strict_json.skip_space(text, 0)
    )
    if isinstance(value, strict_json.RecordError):
      raise value
    if strict_json.skip_space(text, end) != len(text):
      raise ValueError("text follows the object")
    return _evaluation(value), report_eval_data.of(value)
  except ValueError as error:
    raise ValueError(
      f"{path} is not what `ramjax eval --out` writes ({error!s:.200})."
    ) from None


def _evaluation(value: Any) -> Evaluation:
  """The evaluation that a decoded file holds; raises a ValueError if none."""
  record = _object(value, "the file")
  return Evaluation(
    benchmark=_name(record.get("benchmark"), "benchmark"),
    model=_name(record.get("model"), "model"),
    figures={
      _name(name, "a figure's name"): _value(found, f"figures[{name!r:.80}]")
      for name, found in _object(record.get("figures"), "figures").items()
    },
    tables={
      _name(name, "a table's name"): _table(rows, f"tables[{name!r:.80}]")
      for name, rows in _object(record.get("tables"), "tables").items()
    },
    counted={
      _name(rule, "a rule"): _count(number, f"counted[{rule!r:.80}]")
      for rule, number in _object(record.get("counted"), "counted").items()
    },
    notes=[_text(note) for note in _list(record.get("notes"), "notes")],
  )


def _object(value: Any, what: str) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise ValueError(f"{what} is {_kind(value)}, not an object")
  return value


def _list(value: Any, what: str) -> list[Any]:
  if not isinstance(value, list):
    raise ValueError(f"{what} is {_kind(value)}, not a list")
  return value


def _text(value: Any) -> str:
  if not isinstance(value, str):
    raise ValueError(f"a note is {_kind(value)}, not a text")
  return value


def _name(value: Any, what: str) -> str:
  if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
    raise ValueError(
      f"{what} is {_kind(value)}, not a text of 1 to {_MAX_NAME:,} characters"
    )
  return value


def _count(value: Any, what: str) -> int:
  if type(value) is not int or not 0 <= value < 2**63:
    raise ValueError(f"{what} is {_kind(value)}, not a count")
  return value


def _value(value: Any, what: str) -> Value:
  # True is an int in Python, and no figure.
  if value is None or isinstance(value, str):
    return value
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise ValueError(f"{what} is {_kind(value)}, not a number, a text or null")
  if not math.isfinite(value) or abs(value) > _LARGEST:
    raise ValueError(f"{what} is too large a number")
  return value


def _table(value: Any, what: str) -> list[dict[str, Value]]:
  """Rows under the columns of all; what a row lacks is None."""
  rows = [_object(row, f"a row of {what}") for row in _list(value, what)]
  columns = list(dict.fromkeys(name for row in rows for name in row))
  if len(rows) * len(columns) > _MAX_CELLS:
    raise ValueError(f"{what} has more than {_MAX_CELLS:,} cells")
  for name in columns:
    _name(name, f"a column of {what}")
  return [
    {name: _value(row.get(name), f"{what}, {name!r:.80}") for name in columns}
    for row in rows
  ]


def _kind(value: Any) -> str:
  return "missing or null" if value is None else f"a {type(value).__name__}"
