# SPDX-License-Identifier: Apache-2.0
"""Records of an evaluation's file, which is held in memory whole.

`read.read_records` bounds one record; here all of them together are bounded.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ramjax.data import read

# More than any benchmark has; Chatbot Arena published 1.8 million verdicts.
MAX_ROWS = 5_000_000
# Of the text that is kept, and a number counts as eight.
MAX_CHARS = 1 << 30
_VALUE_CHARS = 8


def read_records(
  path: str | os.PathLike[str], keys: Collection[str] | None = None
) -> Iterator[read.Record]:
  """Yields the records of a file, up to `MAX_ROWS` and `MAX_CHARS`.

  Args:
    path: As for `read.read_records`.
    keys: The fields whose text is kept, the only ones that count to
      `MAX_CHARS`; all where it is None.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It cannot be read, or holds more (while iterating).
  """
  chars = 0
  for number, record in enumerate(read.read_records(path), 1):
    if number > MAX_ROWS:
      raise ValueError(
        f"{path} has more than {MAX_ROWS:,} records, and an evaluation holds"
        " all in memory: split the file, and evaluate its parts."
      )
    value = record.value
    if keys is not None and isinstance(value, Mapping):
      value = [value.get(key) for key in keys]
    chars += _num_chars(value)
    if chars > MAX_CHARS:
      raise ValueError(
        f"{record.where}: with it the file has more than {MAX_CHARS:,}"
        " characters of text, and an evaluation holds all in memory: split the"
        " file, and evaluate its parts, or drop fields that are not needed."
      )
    yield record


def read_objects(
  path: str | os.PathLike[str],
  what: str,
  keys: Collection[str] | None = None,
) -> Iterator[tuple[str, Mapping[str, Any]]]:
  """Yields the records of a file that has objects alone: where, and the object.

  Args:
    path: As for `read_records`.
    what: The objects that are wanted, for errors.
    keys: As for `read_records`.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: What `read_records` raises, a record that cannot be read or is
      no object, or no record at all (while iterating).
  """
  empty = True
  for where, value, _ in read_records(path, keys):
    if isinstance(value, read.RecordError):
      raise ValueError(f"{where}: {value}")
    if not isinstance(value, Mapping):
      raise ValueError(
        f"{where} is no JSON object with named fields: write {what}."
      )
    empty = False
    yield where, value
  if empty:
    raise ValueError(f"{path} holds no records: write {what}.")


def _num_chars(value: object) -> int:
  """About what a decoded value holds; its depth is bounded by the reader."""
  if isinstance(value, str | bytes):
    return len(value)
  if isinstance(value, Mapping):
    return sum(_num_chars(k) + _num_chars(x) for k, x in value.items())
  if isinstance(value, list):
    return sum(map(_num_chars, value)) + _VALUE_CHARS
  return _VALUE_CHARS
