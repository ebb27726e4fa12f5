# SPDX-License-Identifier: Apache-2.0
"""An evaluation on the terminal, and as `evaluation.json` in a folder."""

import dataclasses
import datetime
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals import replaced_file
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import bench_machine, bench_table

FILE = "evaluation.json"
_VERSIONED = ("ramjax", "jax", "numpy")


def lines(evaluation: Evaluation) -> list[str]:
  """The evaluation as lines of text.

  Args:
    evaluation: What a benchmark came to.

  Returns:
    Figures first, then each table, then what was counted (where it is not 0),
    then the notes. What a terminal would obey stands there escaped.
  """
  shown = [f"{_shown(evaluation.benchmark)}: {_shown(evaluation.model)}", ""]
  figures = {_shown(name): x for name, x in evaluation.figures.items()}
  width = max(map(len, figures), default=0)
  shown += [
    f"  {name:<{width}}  {_text(value):>12}" for name, value in figures.items()
  ]
  for name, rows in evaluation.tables.items():
    shown += ["", _shown(name), *_table(rows)]
  if counted := {rule: n for rule, n in evaluation.counted.items() if n}:
    shown += ["", *(f"{n:,} {_shown(rule)}" for rule, n in counted.items())]
  if evaluation.notes:
    notes = map(_shown, evaluation.notes)
    shown += ["", *map(bench_table.wrapped, notes)]
  return shown


def _shown(text: str) -> str:
  """Text with escapes for what is no letter, such as the start of a colour."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
  )


def _table(rows: Sequence[Mapping[str, Value]]) -> list[str]:
  """Rows under their keys; the first column to the left, the others right."""
  if not rows:
    return ["  (empty)"]
  columns = list(rows[0])
  cells = [
    [_shown(name) for name in columns],
    *([_text(row[name]) for name in columns] for row in rows),
  ]
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
  return f"{value:,}" if isinstance(value, int) else _shown(value)


def refuse_inputs(
  outputs: Sequence[pathlib.Path], inputs: Sequence[pathlib.Path]
) -> None:
  """Refuses to write over what is read; call it before anything is computed.

  Raises:
    ValueError: One that will be written is one that is read, by whatever path.
  """
  for output in outputs:
    for path in inputs:
      if output.exists() and path.exists() and output.samefile(path):
        raise ValueError(
          f"{output} would be written, and is the file that is read as {path}:"
          " name another folder with --out."
        )


def refuse_other(
  folder: pathlib.Path, *, benchmark: str, model: str
) -> pathlib.Path:
  """Refuses a folder that has the evaluation of something else.

  Args:
    folder: Where an evaluation is to go; it may be missing.
    benchmark: As the evaluation will have it.
    model: As the evaluation will have it.

  Returns:
    The path that the evaluation is to have.

  Raises:
    ValueError: Another benchmark's or model's is there, or a file that is none.
    OSError: It cannot be read.
  """
  path = folder / FILE
  if not path.exists():
    return path
  try:
    found = json.loads(path.read_text("utf-8"))
    there = (found["benchmark"], found["model"])
  except (ValueError, KeyError, TypeError, RecursionError):
    raise ValueError(
      f"{path} is no evaluation and would be replaced: name another folder with"
      " --out, or move that file."
    ) from None
  if there != (benchmark, model):
    raise ValueError(
      f"{path} has {there[0]!r} of {there[1]!r}, which {benchmark!r} of {model!r}"
      " would replace: name another folder with --out, or delete that file."
    )
  return path


def prepare(
  folder: pathlib.Path,
  *,
  benchmark: str,
  model: str,
  files: Sequence[str],
  inputs: Sequence[pathlib.Path],
) -> None:
  """Makes the folder and refuses what `write` would, before hours of work.

  Args:
    folder: Where an evaluation is to go.
    benchmark: As the evaluation will have it.
    model: As the evaluation will have it.
    files: Names of what is written there besides the evaluation.
    inputs: Files that are read.

  Raises:
    ValueError: See `refuse_inputs` and `refuse_other`.
    OSError: The folder cannot be made, or written to.
  """
  refuse_inputs([folder / name for name in (FILE, *files)], inputs)
  refuse_other(folder, benchmark=benchmark, model=model)
  folder.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryFile(dir=folder):
    pass


def written(paths: Sequence[pathlib.Path]) -> list[str]:
  """Last lines for the terminal: what was written, if anything."""
  return ["", f"written: {', '.join(map(str, paths))}"] if paths else []


def write(
  evaluation: Evaluation,
  folder: pathlib.Path,
  *,
  inputs: Sequence[pathlib.Path],
  command: Sequence[str],
  model_identity: Mapping[str, Any] | None = None,
) -> pathlib.Path:
  """Writes the evaluation, with what it was made from.

  Args:
    evaluation: What a benchmark came to.
    folder: Made where it is missing; an evaluation of the same model on the same
      benchmark is replaced.
    inputs: Files that it was made from: named with their sha256.
    command: The words that make it again.
    model_identity: What tells the model from others, where it was loaded for
      this: its fingerprint, tokenizer, checkpoint ...

  Returns:
    The file's path.

  Raises:
    ValueError: Another benchmark's or model's evaluation is there, one of the
      inputs is, or a figure is no finite number.
  """
  record: dict[str, Any] = {
    **dataclasses.asdict(evaluation),
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "versions": bench_machine.versions(_VERSIONED),
    "inputs": {str(path): _sha256(path) for path in inputs},
    "model_identity": None if model_identity is None else dict(model_identity),
    "command": list(command),
  }
  # Strict JSON: a figure that is no number is None, and never NaN.
  text = json.dumps(record, indent=1, allow_nan=False)
  path = refuse_other(
    folder, benchmark=evaluation.benchmark, model=evaluation.model
  )
  refuse_inputs([path], inputs)
  folder.mkdir(parents=True, exist_ok=True)
  replaced_file.replace_file(path, [text, "\n"])
  return path


def conclude(
  evaluation: Evaluation,
  folder: pathlib.Path | None,
  *,
  inputs: Sequence[pathlib.Path],
  command: Sequence[str],
  model_identity: Mapping[str, Any] | None = None,
  written_before: Sequence[pathlib.Path] = (),
  hidden: Sequence[str] = (),
) -> None:
  """The end of a command: writes the evaluation, and then prints it.

  In this order, so that a reader of the output that closes early (`| head`)
  costs nothing.

  Args:
    evaluation: What a benchmark came to.
    folder: Of --out; None writes nothing.
    inputs: See `write`.
    command: See `write`.
    model_identity: See `write`.
    written_before: Files that were written already, to be told.
    hidden: Tables that are too large for a terminal.

  Raises:
    ValueError, OSError: See `write`.
  """
  paths = list(written_before)
  if folder is not None:
    paths.append(
      write(
        evaluation,
        folder,
        inputs=inputs,
        command=command,
        model_identity=model_identity,
      )
    )
  tables = {k: x for k, x in evaluation.tables.items() if k not in hidden}
  shown = lines(dataclasses.replace(evaluation, tables=tables))
  print("\n".join([*shown, *written(paths)]))


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
