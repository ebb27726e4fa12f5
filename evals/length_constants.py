# SPDX-License-Identifier: Apache-2.0
"""The frozen rows and difficulties of the length-controlled win rate.

The authors of AlpacaEval publish two tables (in the hub's dataset
tatsu-lab/alpaca_eval; none comes with ramjax): `df_gamed.csv`, the verdicts on
the baseline when it was told to be verbose and to be concise, and
`instruction_difficulty.csv`.
"""

import csv
import dataclasses
import gzip
import hashlib
import io
import math
import os
import pathlib
import zlib
from collections.abc import Mapping

import numpy as np

# As third parties record them of the hub's revision 2edc6fad.
GAMED_SHA256 = (
  "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d"
)
DIFFICULTY_SHA256 = (
  "e28d875bb334f75e17acd1e4ed659b261860e3db379cf5de29060301bed0a18b"
)
# The verbose and the concise baseline.
NUM_GAMED = 2
_GAMED_COLUMNS = (
  "model",
  "index",
  "preference",
  "std_delta_len",
  "instruction_difficulty",
  "not_gamed_baseline",
)
# The official tables have 0.2 MB; an archive may hold far more than it shows.
_MOST_BYTES = 32 << 20


@dataclasses.dataclass(frozen=True)
class LengthConstants:
  """What every model's fit has in common.

  Attributes:
    length: tanh of the standardised difference in length of a frozen row, [m].
    row_difficulty: Of its instruction, [m].
    labels: Its preference for the gamed baseline, from 0 to 1, [m].
    difficulty: Of each instruction by its number, [n].
    num_unlabelled: Frozen rows without a preference: no fit has them.
    is_official: Whether the file is the published one, byte by byte.
  """

  length: np.ndarray
  row_difficulty: np.ndarray
  labels: np.ndarray
  difficulty: np.ndarray
  num_unlabelled: int
  is_official: bool


@dataclasses.dataclass(frozen=True)
class Difficulty:
  """The table of difficulties.

  Attributes:
    values: By instruction number, [n].
    is_official: Whether the file is the published one, byte by byte.
  """

  values: np.ndarray
  is_official: bool


def read_gamed(path: str | os.PathLike[str]) -> LengthConstants:
  """Reads `df_gamed.csv`, or the same compressed with gzip.

  The difficulties are those in it, as in the authors' tool.

  Raises:
    ValueError: It is no such table: columns, numbers, or not two models with
      the same instructions, once each.
    FileNotFoundError: There is no such file.
  """
  path = pathlib.Path(path)
  content = _content(path)
  difficulty: dict[int, tuple[float, str]] = {}
  models: dict[str, set[int]] = {}
  rows = []
  num_unlabelled = 0
  for where, row in _rows(path, content, _GAMED_COLUMNS):
    index = _index(row, where)
    known = models.setdefault(row["model"], set())
    if index in known:
      raise ValueError(
        f"{where} is a second row of {row['model']!a} with index {index}: it"
        " would count twice. Drop one."
      )
    known.add(index)
    if row["not_gamed_baseline"].lower() != "false":
      raise ValueError(
        f"{where}: not_gamed_baseline={row['not_gamed_baseline']!r} must be"
        " False: the rows of df_gamed.csv are the gamed baselines'."
      )
    hard = _number(row, "instruction_difficulty", where)
    first, first_where = difficulty.setdefault(index, (hard, where))
    if not math.isclose(first, hard, rel_tol=1e-9, abs_tol=1e-9):
      raise ValueError(
        f"{where} has difficulty {hard} for instruction {index}, and"
        f" {first_where} has {first}: an instruction has one."
      )
    length = math.tanh(_number(row, "std_delta_len", where))
    if row["preference"].lower() in ("", "nan"):
      num_unlabelled += 1
      continue
    label = _number(row, "preference", where)
    if not 0 <= label <= 1:
      raise ValueError(
        f"{where}: preference={label} must be from 0 to 1: df_gamed.csv has"
        " shares, and not the 1 to 2 of annotations."
      )
    rows.append((length, hard, label))
  _require_two_models(path, models, len(difficulty))
  table = np.asarray(rows, np.float64).reshape(-1, 3)
  return LengthConstants(
    length=table[:, 0],
    row_difficulty=table[:, 1],
    labels=table[:, 2],
    difficulty=np.asarray([difficulty[i][0] for i in range(len(difficulty))]),
    num_unlabelled=num_unlabelled,
    is_official=hashlib.sha256(content).hexdigest() == GAMED_SHA256,
  )


def _require_two_models(
  path: pathlib.Path, models: Mapping[str, set[int]], num: int
) -> None:
  if len(models) != NUM_GAMED:
    raise ValueError(
      f"{path} has {len(models)} models, {sorted(models)[:5]!a}, and must have"
      f" {NUM_GAMED}, the verbose and the concise baseline."
    )
  for model, known in models.items():
    if missing := sorted(set(range(num)) - known):
      raise ValueError(
        f"{path}: {model!a} lacks the indexes {missing[:5]} of 0 to {num - 1}:"
        " each instruction stands once for each model."
      )


def read_difficulty(path: str | os.PathLike[str]) -> Difficulty:
  """Reads `instruction_difficulty.csv`, or the same compressed with gzip.

  Raises:
    ValueError: It is no such table: an index, 0 and up in order, and a number.
    FileNotFoundError: There is no such file.
  """
  path = pathlib.Path(path)
  content = _content(path)
  values = []
  for where, row in _rows(path, content, ("index", "instruction_difficulty")):
    if _index(row, where) != len(values):
      raise ValueError(
        f"{where}: index={row['index']} must be {len(values)}: the instructions"
        " are numbered in order, from 0."
      )
    values.append(_number(row, "instruction_difficulty", where))
  return Difficulty(
    values=np.asarray(values),
    is_official=hashlib.sha256(content).hexdigest() == DIFFICULTY_SHA256,
  )


def _content(path: pathlib.Path) -> bytes:
  """A file's bytes, decompressed: what its digest is of."""
  if path.exists() and not path.is_file():
    what = "a directory" if path.is_dir() else "no regular file"
    raise ValueError(f"{path} is {what}: give the CSV file itself.")
  try:
    opened = gzip.open(path) if path.suffix == ".gz" else path.open("rb")
    with opened as file:
      content = file.read(_MOST_BYTES + 1)
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise ValueError(
      f"{path}: damaged gzip data ({error}): fetch it again."
    ) from None
  if len(content) > _MOST_BYTES:
    raise ValueError(
      f"{path} holds more than {_MOST_BYTES} bytes: it is not the table of 0.2"
      " MB that the authors publish."
    )
  return content


def _rows(
  path: pathlib.Path, content: bytes, columns: tuple[str, ...]
) -> list[tuple[str, dict[str, str]]]:
  """Each row's place and its cells by column; at least one row."""
  try:
    text = content.decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(text, newline=""), strict=True))
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f"{path} is no CSV file: {error}.") from None
  head = cells[0] if cells else []
  missing = [name for name in columns if head.count(name) != 1]
  if missing:
    raise ValueError(
      f"{path} has the columns {head[:12]!a}, and must have"
      f" {', '.join(columns)} once each."
    )
  rows = []
  for number, row in enumerate(cells[1:], 2):
    where = f"{path.name}: line {number}"
    if len(row) != len(head):
      raise ValueError(
        f"{where} has {len(row)} cells under {len(head)} columns: mend it."
      )
    rows.append((where, dict(zip(head, row, strict=True))))
  if not rows:
    raise ValueError(f"{path} has no rows.")
  return rows


def _index(row: Mapping[str, str], where: str) -> int:
  text = row["index"]
  if not (text.isascii() and text.isdecimal() and len(text) < 10):
    raise ValueError(
      f"{where}: index={text[:40]!a} must be the number of an instruction, from"
      " 0."
    )
  return int(text)


def _number(row: Mapping[str, str], column: str, where: str) -> float:
  try:
    value = float(row[column])
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise ValueError(
      f"{where}: {column}={row[column][:40]!a} must be a finite number."
    )
  return value
