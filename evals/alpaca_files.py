# SPDX-License-Identifier: Apache-2.0
"""AlpacaEval's JSON files: lists of objects, read strictly and written back."""

import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ramjax.data.strict_json import RecordError
from ramjax.evals import bounded_records, replaced_file

Row = Mapping[str, Any]


def read_objects(
  path: str | os.PathLike[str], kind: str
) -> Iterator[tuple[str, Row]]:
  """Yields each row's place and its object, in order.

  Args:
    path: A JSON list, JSONL, or either of them compressed with gzip.
    kind: What the file has to be, for errors.

  Raises:
    ValueError: A row is broken or no object, or there is none. NaN, which
      Python's own `json` writes, is no JSON: the error says to write null. Or
      it is a Parquet file, which may hold values that are no JSON.
    FileNotFoundError: There is no such file.
  """
  if os.fspath(path).endswith(".parquet"):
    raise ValueError(
      f"{path} is a Parquet file, whose rows could not be written back as they"
      f" are: it must be {kind}. Convert it to .json or .jsonl."
    )
  empty = True
  for record in bounded_records.read_records(path):
    empty = False
    if isinstance(record.value, RecordError):
      raise ValueError(f"{record.where}: {record.value}.")
    if not isinstance(record.value, dict):
      raise ValueError(
        f"{record.where} is {shown(record.value)}, and must be an object:"
        f" {path} must be {kind}."
      )
    yield record.where, record.value
  if empty:
    raise ValueError(f"{path} has no rows: it must be {kind}.")


def text_field(row: Row, key: str, where: str, kind: str) -> str:
  """Returns the text that a row has under a key.

  Raises:
    ValueError: There is none.
  """
  if key not in row:
    names = ", ".join(sorted(map(repr, row))[:12]) or "nothing"
    raise ValueError(
      f"{where} has no {key!r} but {names}: the file must be {kind}."
    )
  if not isinstance(row[key], str):
    raise ValueError(
      f"{where}: {key}={shown(row[key])} must be a string: the file must be"
      f" {kind}."
    )
  return row[key]


def require_new(seen: dict[str, str], instruction: str, where: str) -> None:
  """Notes an instruction and its row; an instruction may stand once.

  Args:
    seen: Instruction -> its row, so far.
    instruction: Of this row.
    where: This row.

  Raises:
    ValueError: Another row has the instruction: it would count twice.
  """
  if instruction in seen:
    raise ValueError(
      f"{where} has the instruction of {seen[instruction]},"
      f" {shown(instruction)}: it would count twice. Drop one of them."
    )
  seen[instruction] = where


def write_objects(
  path: str | os.PathLike[str], rows: Iterable[Row]
) -> pathlib.Path:
  """Writes a JSON list as the authors' tool does; replaces a file whole.

  Raises:
    ValueError: A value is no JSON, such as NaN.
  """
  path = pathlib.Path(path)
  text = json.dumps([dict(row) for row in rows], indent=2, allow_nan=False)
  replaced_file.replace_file(path, [text, "\n"])
  return path


def shown(value: Any) -> str:
  """A value as an error shows it: cut."""
  text = ascii(value)
  return text if len(text) <= 60 else f"{text[:57]}..."
