# SPDX-License-Identifier: Apache-2.0
"""From a source (file, prepared TFDS dataset, own tasks) to checked rows.

No row is ever left out in silence: a bad one stops the load, or, up to a share
that the config allows, is counted and set aside in a quarantine file.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from ramjax.data import read
from ramjax.data.read import DataError, Record
from ramjax.data.rows import Row, RowError

T = TypeVar("T", bound=Row)

# How many reasons an error repeats; the quarantine file has them all.
_NUM_REASONS = 3


@dataclasses.dataclass(frozen=True)
class LoadedRows(Generic[T]):
  """The rows of a source, with what became of the rest.

  Attributes:
    rows: The good rows, in the order of the source.
    records: The record that each row came from, with its extra keys.
    places: Where each of them stands, such as "train.jsonl:17".
    num_read: How many records the source holds, good and bad.
    num_quarantined: How many of them were set aside.
    fingerprint: A SHA-256 of the source's content.
  """

  rows: list[T]
  records: list[Mapping[str, Any]]
  places: list[str]
  num_read: int
  num_quarantined: int
  fingerprint: str


def load_rows(
  path: str,
  *,
  parse: Callable[[Any], T],
  max_bad_share: float = 0.0,
  quarantine_path: pathlib.Path | None = None,
) -> LoadedRows[T]:
  """Loads and checks every record of a source.

  Args:
    path: One of
      a file (.jsonl, .json, each also .gz, or .parquet);
      `tfds:NAME/CONFIG:SPLIT?data_dir=DIR`, a dataset prepared in DIR;
      `tasks:NUM?seed=SEED`, tasks that the project writes itself, of all kinds
      in turn or, with `&kinds=KIND+KIND`, of some; with `&wrong=0.3` in that
      share of them the answer is a wrong one;
      `task_pairs:NUM?seed=SEED`, the same with a wrong answer beside the right.
    parse: From a record to a row, such as `parse_rows.parse_sft`; raises
      `RowError` for a record that is no row.
    max_bad_share: The share of bad records to set aside, from 0 (the first one
      raises) to 1.
    quarantine_path: Where to write the bad records, as JSONL with `where`,
      `reason` and `raw`; needed if `max_bad_share` is above 0. The file is
      written anew, and is empty if there are none.

  Raises:
    FileNotFoundError: There is no such source.
    DataError: The source cannot be read, holds more bad records than allowed,
      or holds no good one.
    ValueError: `max_bad_share` is out of range or lacks a `quarantine_path`.
  """
  if not 0 <= max_bad_share <= 1:
    raise ValueError(
      f"max_bad_share={max_bad_share} must lie in [0, 1]: it is the share of"
      " bad records that may be set aside."
    )
  if max_bad_share > 0 and quarantine_path is None:
    raise ValueError(
      f"max_bad_share={max_bad_share} needs a quarantine_path: bad records are"
      " set aside there, never dropped in silence."
    )
  source = _open_source(path)
  rows: list[T] = []
  records: list[Mapping[str, Any]] = []
  places: list[str] = []
  reasons: list[str] = []
  num_bad = 0
  with _Quarantine(quarantine_path if max_bad_share else None) as set_aside:
    for record in source.records:
      result = _parse(record, parse)
      if not isinstance(result, str):
        rows.append(result)
        records.append(record.value)
        places.append(record.where)
        continue
      if not max_bad_share:
        raise DataError(
          f"path={path!r}: {record.where}: {result}. Mend that record, or set"
          " data.max_bad_share above 0 and look at the quarantine file."
        )
      set_aside(record, result)
      num_bad += 1
      if len(reasons) < _NUM_REASONS:
        reasons.append(f"{record.where}: {result}.")
  num_read = len(rows) + num_bad
  if num_read and num_bad / num_read > max_bad_share:
    raise DataError(
      f"path={path!r}: {num_bad} of {num_read} records are bad, more than"
      f" data.max_bad_share={max_bad_share}. First: {' '.join(reasons)} Mend"
      f" them (all are in {quarantine_path}), or raise data.max_bad_share."
    )
  if not rows:
    raise DataError(
      f"path={path!r} has no good record of {num_read} read: name a source with"
      " rows in it."
    )
  return LoadedRows(
    rows, records, places, num_read, num_bad, source.fingerprint()
  )


def _parse(record: Record, parse: Callable[[Any], T]) -> T | str:
  """Returns the row, or the reason why there is none."""
  if isinstance(record.value, read.RecordError):
    return str(record.value)
  try:
    return parse(record.value)
  except RowError as error:
    return str(error)


class _Quarantine(contextlib.AbstractContextManager):
  """A JSONL file of bad records; without a path, nothing at all."""

  def __init__(self, path: pathlib.Path | None):
    self._file = None
    if path is not None:
      path.parent.mkdir(parents=True, exist_ok=True)
      self._file = open(path, "w", encoding="ascii")

  def __call__(self, record: Record, reason: str) -> None:
    """Writes one bad record."""
    assert self._file is not None
    line = {"where": record.where, "reason": reason, "raw": record.raw}
    self._file.write(json.dumps(line) + "\n")

  def __exit__(self, *unused: object) -> None:
    if self._file is not None:
      self._file.close()


class _Source(NamedTuple):
  records: Iterable[Record]
  fingerprint: Callable[[], str]


def _open_source(path: str) -> _Source:
  if path.startswith("tfds:"):
    return _open_tfds(path)
  if path.startswith(("tasks:", "task_pairs:")):
    return _open_tasks(path)
  return _Source(read.read_records(path), lambda: _file_digest(path))


def _file_digest(path: str) -> str:
  with open(path, "rb") as stream:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _open_tfds(path: str) -> _Source:
  from ramjax.data import tfds_source

  # The split may hold a colon of its own: "train[:90%]".
  match = re.fullmatch(r"tfds:([^:?]+):([^?]+)\?data_dir=(.+)", path)
  if match is None:
    raise DataError(
      f"path={path!r} must read tfds:NAME/CONFIG:SPLIT?data_dir=DIR, such as"
      " tfds:ramjax_rows/chat:train?data_dir=/data/tfds."
    )
  name, split, data_dir = match.groups()
  prepared = tfds_source.open_source(name, split, data_dir)

  def records() -> Iterator[Record]:
    for index in range(len(prepared)):
      where = f"{name}:{split}: row {index + 1}"
      try:
        yield Record(where, prepared[index])
      except read.RecordError as error:
        yield Record(where, error)

  return _Source(records(), prepared.fingerprint)


def _open_tasks(path: str) -> _Source:
  from ramjax.data import task_pairs, tasks

  name = path.partition(":")[0]
  pattern = rf"{name}:([0-9]{{1,9}})\?seed=([0-9]{{1,18}})"
  if name == "tasks":
    pattern += r"(?:&kinds=([a-z_]+(?:\+[a-z_]+)*))?(?:&wrong=(0\.[0-9]{1,4}))?"
  match = re.fullmatch(pattern, path)
  if match is None:
    some = "[&kinds=KIND+KIND][&wrong=0.SHARE]" if name == "tasks" else ""
    raise DataError(
      f"path={path!r} must read {name}:NUM?seed=SEED{some}, such as"
      f" {name}:1000?seed=0."
    )
  num, seed = int(match[1]), int(match[2])
  if name == "task_pairs":
    values = task_pairs.generate_pairs(num_pairs=num, seed=seed)
  else:
    kinds = match[3].split("+") if match[3] else None
    if match[4]:
      values = task_pairs.generate_flawed(
        num_tasks=num, seed=seed, kinds=kinds, wrong_share=float(match[4])
      )
    else:
      made = tasks.generate_tasks(num_tasks=num, seed=seed, kinds=kinds)
      values = [tasks.task_record(task) for task in made]
  content = json.dumps(values, sort_keys=True).encode()
  records = (
    Record(f"{path}: row {number}", value)
    for number, value in enumerate(values, 1)
  )
  return _Source(records, hashlib.sha256(content).hexdigest)
