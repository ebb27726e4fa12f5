# SPDX-License-Identifier: Apache-2.0
"""The files of a run in rounds: each is there whole, or is not there.

    rounds_manifest.json   which checkpoint plays which role, by round
    rounds.jsonl           what each round came to; round 0 is the first model
    round_1/samples.jsonl  answers to the prompts of the round
    round_1/scores.jsonl   what each is worth
    round_1/rows.jsonl     what was selected, to train on
    round_1/selected.json  how it was counted
    round_1/fit/           the run that trained on it, as any other
    round_1/fitted.json    the checkpoint that it ended with
    round_1/evaluated.json held-out figures of that

Answers and scores are made in chunks of prompts. A chunk is kept whole or made
again, so that a file is the same whether its run was killed or not.
"""

import fcntl
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO

MANIFEST = "rounds_manifest.json"
LOG = "rounds.jsonl"
SAMPLES = "samples.jsonl"
SCORES = "scores.jsonl"
ROWS = "rows.jsonl"
SELECTED = "selected.json"
FIT = "fit"
FITTED = "fitted.json"
EVALUATED = "evaluated.json"
_PARTIAL = ".partial"


def folder(workdir: pathlib.Path, number: int) -> pathlib.Path:
  """The folder of a round, which is made."""
  path = workdir / f"round_{number}"
  path.mkdir(parents=True, exist_ok=True)
  return path


def read_json(path: pathlib.Path) -> Any:
  """What `write_json` wrote; None where there is no file."""
  return json.loads(path.read_text()) if path.is_file() else None


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
  """The rows of a finished file.

  Raises:
    FileNotFoundError: It is not there.
  """
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} does not exist, and a later stage needs it: put it back, or"
      f" remove {path.parent} to make the round again."
    )
  with path.open() as file:
    return [json.loads(line) for line in file]


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes an object; a kill leaves the old file or the new one."""
  text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
  _replace(path, [text + "\n"])


def write_rows(path: pathlib.Path, rows: Iterable[Mapping[str, Any]]) -> None:
  """Writes rows, as `write_json` does an object."""
  _replace(path, (_line(row) for row in rows))


def write_in_chunks(
  path: pathlib.Path,
  make: Callable[[range], Sequence[Mapping[str, Any]]],
  *,
  num_items: int,
  rows_per_item: int,
  chunk: int,
  before_chunk: Callable[[], None],
) -> None:
  """Makes a file of rows, chunk by chunk; continues one that was begun.

  Args:
    path: The file; nothing is done if it is there.
    make: From items, by number, to their rows.
    num_items: In all.
    rows_per_item: Rows that each has.
    chunk: Items that are made at a time.
    before_chunk: Called before each of them; what it raises is a pause.

  Raises:
    ValueError: Another process writes it.
  """
  if path.is_file():
    return
  partial = path.with_name(path.name + _PARTIAL)
  with partial.open("a+b") as file:
    _lock(file, path)
    done = _keep_whole_chunks(
      file, rows=rows_per_item * chunk, total=rows_per_item * num_items
    )
    for first in range(done // rows_per_item, num_items, chunk):
      before_chunk()
      rows = make(range(first, min(first + chunk, num_items)))
      file.write("".join(_line(row) for row in rows).encode())
      _sync(file)
    partial.replace(path)


def _lock(file: BinaryIO, path: pathlib.Path) -> None:
  """Held until the file is closed, by a kill too."""
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise ValueError(
      f"{path} is being written by another process: wait for it, or give"
      " another --workdir."
    ) from error


def _keep_whole_chunks(file: BinaryIO, *, rows: int, total: int) -> int:
  """Cuts a file behind its last whole chunk; the rows that are left."""
  file.seek(0)
  count = end = kept = kept_to = 0
  while (line := file.readline()).endswith(b"\n"):
    count += 1
    end += len(line)
    if count % rows == 0 or count == total:
      kept, kept_to = count, end
  file.truncate(kept_to)
  return kept


def _line(row: Mapping[str, Any]) -> str:
  return json.dumps(row, allow_nan=False) + "\n"


def _replace(path: pathlib.Path, parts: Iterable[str]) -> None:
  temporary = path.with_name(path.name + ".tmp")
  with temporary.open("wb") as file:
    for part in parts:
      file.write(part.encode())
    _sync(file)
  temporary.replace(path)


def _sync(file: Any) -> None:
  file.flush()
  os.fsync(file.fileno())
