# SPDX-License-Identifier: Apache-2.0
"""The evaluations below a folder, read and checked for a report.

An `evaluation.json` may be anyone's: what does not have the shape that
`ramjax eval` writes is named and left out, and the rest is shown.
"""

import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ramjax.data import strict_json
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import eval_result, report_verdicts
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

_STEP = re.compile(r"step_([0-9]{1,15})")


class Shown(NamedTuple):
  """One evaluation.

  Attributes:
    name: Its folder below that of all, without the step; "" if it is that one.
    step: Of the run, where training wrote it.
    folder: Where its other files are.
    evaluation: What it came to.
    verdicts: A judge's, where they lie beside it; read at the last step alone.
  """

  name: str
  step: int | None
  folder: pathlib.Path
  evaluation: Evaluation
  verdicts: Verdicts | None = None


class Found(NamedTuple):
  """Evaluations by name and step, and a sentence on each that is left out."""

  shown: list[Shown]
  problems: list[str]


def read_below(folder: pathlib.Path) -> Found:
  """Every evaluation below a folder, at any depth.

  Args:
    folder: May be missing: then there are none.

  Returns:
    What was found. Links to folders are not followed.
  """
  shown, problems = [], []
  paths, is_cut = _paths(folder)
  for path in paths:
    try:
      evaluation = read(path)
    except (ValueError, OSError) as error:
      problems.append(f"An evaluation is left out: {error}")
      continue
    name, step = _name_and_step(path.parent.relative_to(folder))
    shown.append(Shown(name, step, path.parent, evaluation))
  if is_cut:
    problems.append(
      f"{folder} has more evaluations or folders than a page can show: the"
      f" first {len(paths):,} are here."
    )
  shown.sort(key=lambda one: (one.name, -1 if one.step is None else one.step))
  detailed = {one.folder for one in last_steps(shown)[:MOST_DETAILED]}
  shown = [
    with_verdicts(one, problems) if one.folder in detailed else one
    for one in shown
  ]
  return Found(shown, problems)


def with_verdicts(one: Shown, problems: list[str]) -> Shown:
  """An evaluation with the verdicts that lie beside it.

  Args:
    one: The evaluation.
    problems: Gets a sentence where they cannot be read.
  """
  try:
    verdicts = report_verdicts.read(one.folder, one.evaluation)
  except (ValueError, OSError) as error:
    problems.append(f"The verdicts of an evaluation are left out: {error}")
    return one
  return one._replace(verdicts=verdicts)


def last_steps(shown: Sequence[Shown]) -> list[Shown]:
  """Of each name and benchmark, the evaluation at the last step."""
  last = {(one.name, one.evaluation.benchmark): one for one in shown}
  return list(last.values())


def _name_and_step(folder: pathlib.PurePath) -> tuple[str, int | None]:
  """A folder's name without its step; MT-Bench has the model's name behind it."""
  for i, part in enumerate(folder.parts):
    if match := _STEP.fullmatch(part):
      rest = (*folder.parts[:i], *folder.parts[i + 1 :])
      return "/".join(rest), int(match[1])
  return "/".join(folder.parts), None


def _paths(folder: pathlib.Path) -> tuple[list[pathlib.Path], bool]:
  """Paths of evaluations, and whether there are more."""
  paths: list[pathlib.Path] = []
  for number, (root, folders, files) in enumerate(os.walk(folder)):
    folders.sort()
    if number >= _MAX_FOLDERS or len(paths) >= MAX_FILES:
      return paths, True
    if eval_result.FILE in files:
      paths.append(pathlib.Path(root) / eval_result.FILE)
  return paths, False


def read(path: pathlib.Path) -> Evaluation:
  """Reads one evaluation.

  Args:
    path: Of its file.

  Raises:
    ValueError: It is not what `ramjax eval` writes; with the path.
    OSError: It cannot be read.
  """
  if not path.is_file():
    raise ValueError(f"{path} is no regular file.")
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
    return _evaluation(value)
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
