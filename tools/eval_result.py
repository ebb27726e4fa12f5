# SPDX-License-Identifier: Apache-2.0
"""An evaluation on the terminal, and as `evaluation.json` in a folder."""

import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import bench_machine, bench_table

FILE = "evaluation.json"
_VERSIONED = ("ramjax", "jax", "numpy")


def lines(evaluation: Evaluation) -> list[str]:
  """The evaluation as lines of text.

  Args:
    evaluation: What a benchmark came to.

  Returns:
    Figures first, then each table, then what was counted, then the notes.
  """
  shown = [f"{evaluation.benchmark}: {evaluation.model}", ""]
  width = max((len(name) for name in evaluation.figures), default=0)
  shown += [
    f"  {name:<{width}}  {_text(value):>12}"
    for name, value in evaluation.figures.items()
  ]
  for name, rows in evaluation.tables.items():
    shown += ["", name, *_table(rows)]
  if evaluation.counted:
    shown += [
      "",
      *(f"{number:,} {rule}" for rule, number in evaluation.counted.items()),
    ]
  if evaluation.notes:
    shown += ["", *map(bench_table.wrapped, evaluation.notes)]
  return shown


def _table(rows: Sequence[Mapping[str, Value]]) -> list[str]:
  """Rows under their keys; the first column to the left, the others right."""
  if not rows:
    return ["  (empty)"]
  columns = list(rows[0])
  cells = [columns, *([_text(row[name]) for name in columns] for row in rows)]
  widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
  return [
    "  " + "  ".join(_placed(cell, i, widths[i]) for i, cell in enumerate(row))
    for row in cells
  ]


def _placed(cell: str, column: int, width: int) -> str:
  return f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"


def _text(value: Value) -> str:
  """Integers whole, other numbers to four decimals, nothing as a dash."""
  if value is None:
    return "-"
  if isinstance(value, float):
    return f"{value:,.4f}"
  return f"{value:,}" if isinstance(value, int) else value


def write(
  evaluation: Evaluation,
  folder: pathlib.Path,
  *,
  inputs: Sequence[pathlib.Path],
  command: Sequence[str],
) -> pathlib.Path:
  """Writes the evaluation, with what it was made from.

  Args:
    evaluation: What a benchmark came to.
    folder: Made where it is missing; a file of the same name is replaced.
    inputs: Files that it was made from: named with their sha256.
    command: The words that make it again.

  Returns:
    The file's path.
  """
  record: dict[str, Any] = {
    **dataclasses.asdict(evaluation),
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "versions": bench_machine.versions(_VERSIONED),
    "inputs": {str(path): _sha256(path) for path in inputs},
    "command": list(command),
  }
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / FILE
  partial = folder / f".{FILE}.partial"
  # Strict JSON: a figure that is no number is None, and never NaN.
  partial.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
  os.replace(partial, path)
  return path


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
