# SPDX-License-Identifier: Apache-2.0
"""The rows of MT-Bench's files, whose fields are checked as they are taken."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ramjax.data import read, turns
from ramjax.evals import bounded_records

# The largest number that a field may have: a sum of many is still finite.
_MAX_NUMBER = 1e100
# How many keys of a row an error names.
_NUM_NAMES = 12


class Row:
  """The fields of one row, taken one by one; what is left is extra.

  Whatever takes a field raises a `ValueError` with file and row where it is
  missing or not of its kind.

  Attributes:
    where: File and row, for errors.
    names: The first keys of the row, for errors.
  """

  def __init__(self, record: read.Record, kind: str):
    """Checks that it is an object.

    Args:
      record: From `read.read_records`.
      kind: What it should be, such as "a question", for errors.

    Raises:
      ValueError: It is not.
    """
    if isinstance(record.value, read.RecordError):
      raise ValueError(f"{record.where}: {record.value}.")
    if not isinstance(record.value, Mapping):
      raise ValueError(
        f"{record.where} is {turns.describe(record.value)}: {kind} of MT-Bench"
        " is a JSON object, one a line."
      )
    self.where = record.where
    self._kind = kind
    self._left = dict(record.value)
    some = list(record.value)[:_NUM_NAMES]
    self.names = ", ".join(map(turns.short_name, some)) or "none"

  def has(self, key: str) -> bool:
    """Whether the field is there, and not null."""
    return self._left.get(key) is not None

  def rest(self) -> Mapping[str, Any]:
    """The fields that were not taken."""
    return self._left

  def take(self, key: str) -> Any:
    """The field's value, of any kind."""
    if key not in self._left:
      raise ValueError(
        f"{self.where}: no {key!r} (keys found: {self.names}):"
        f" {self._kind} of MT-Bench has one. Give the official file, or one in"
        " its format."
      )
    return self._left.pop(key)

  def text(self, key: str) -> str:
    """A text, which may be empty."""
    value = self.take(key)
    if not isinstance(value, str):
      self.refuse(key, value, "a text")
    return self._encodable(key, value)

  def name(self, key: str) -> str:
    """A text that can be printed in one line."""
    value = self.take(key)
    if not _is_name(value):
      self.refuse(key, value, "a name of printable characters")
    return value

  def one_of(self, key: str, allowed: Sequence[str]) -> str:
    """One of the texts that are allowed."""
    value = self.take(key)
    if value not in allowed:
      self.refuse(key, value, f"one of {', '.join(allowed)}")
    return value

  def optional_text(self, key: str) -> str | None:
    """A text, or None where the field is missing or null."""
    return self.text(key) if self.has(key) else None

  def optional_number(self, key: str) -> float | None:
    """A number, or None where the field is missing or null."""
    return self.number(key) if self.has(key) else None

  def integer(self, key: str) -> int:
    """A whole number."""
    value = self.take(key)
    if not isinstance(value, int) or isinstance(value, bool):
      self.refuse(key, value, "a whole number")
    return value

  def number(self, key: str) -> float:
    """A finite number, an int where the file has one."""
    value = self.take(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
      self.refuse(key, value, "a number")
    # NaN is not below either.
    if not abs(value) <= _MAX_NUMBER:
      allowed = f"a finite number from {-_MAX_NUMBER:g} to {_MAX_NUMBER:g}"
      self.refuse(key, value, allowed)
    return value

  def turn(self) -> int:
    """The field "turn", 1 or 2."""
    value = self.integer("turn")
    if value not in (1, 2):
      self.refuse("turn", value, "1 or 2")
    return value

  def judge(self) -> tuple[str, str]:
    """The field "judge": the judge's model and the name of its prompt."""
    value = self.take("judge")
    if not isinstance(value, list) or list(map(_is_name, value)) != [
      True,
      True,
    ]:
      self.refuse("judge", value, "[the judge's model, the name of its prompt]")
    return value[0], value[1]

  def texts(self, field: str, value: object) -> tuple[str, ...]:
    """A value that was taken, as a list of texts."""
    if not isinstance(value, list) or not all(
      isinstance(text, str) for text in value
    ):
      self.refuse(field, value, "a list of texts")
    return tuple(self._encodable(field, text) for text in value)

  def turns(self, field: str, value: object) -> tuple[str, ...]:
    """A value that was taken, as the texts of one turn or two."""
    texts = self.texts(field, value)
    if len(texts) not in (1, 2):
      self.refuse(f"{field}, of {len(texts)} texts,", value, "one of 1 or 2")
    return texts

  def _encodable(self, field: str, text: str) -> str:
    try:
      return turns.parse_text(text, field)
    except ValueError as error:
      raise ValueError(f"{self.where}: {error}.") from error

  def refuse(self, field: str, value: object, allowed: str) -> NoReturn:
    """Refuses the row for a field.

    Raises:
      ValueError: Always.
    """
    name = turns.short_name(value) if isinstance(value, str) else None
    raise ValueError(
      f"{self.where}: {field} is {name or turns.describe(value)}, and in"
      f" {self._kind} of MT-Bench it is {allowed}: correct the row."
    )


def _is_name(value: object) -> bool:
  # Names are printed: none may hold a terminal's control characters.
  return isinstance(value, str) and bool(value) and value.isprintable()


def read_rows(path: str | os.PathLike[str], kind: str) -> Iterator[Row]:
  """Yields the rows of a file, in order.

  Args:
    path: JSON or JSON Lines, may be compressed.
    kind: What a row should be, such as "a question", for errors.

  Raises:
    FileNotFoundError: There is no such file.
    ValueError: It cannot be read, is larger than `bounded_records` allows, or
      holds a row that is no object, or none.
  """
  empty = True
  for record in bounded_records.read_records(path):
    empty = False
    yield Row(record, kind)
  if empty:
    raise ValueError(f"{path} is empty: it should hold {kind} on each line.")
