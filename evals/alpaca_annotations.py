# SPDX-License-Identifier: Apache-2.0
"""A judge's verdicts on pairs of outputs: AlpacaEval's `annotations.json`."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ramjax.evals import alpaca_files, win_rate

_TEXTS = ("instruction", "output_1", "output_2", "generator_1", "generator_2")
# What may not change within a file, and what it says.
_CONSTANT = {
  "generator_1": "baseline",
  "generator_2": "model",
  "annotator": "judge",
}
_KIND = (
  "an AlpacaEval annotations.json, a list of objects with the texts"
  f" {', '.join(map(repr, _TEXTS))} and the number 'preference', or null"
)
GLM_PREFERENCE = "glm_preference"


@dataclasses.dataclass(frozen=True)
class Annotation:
  """One verdict.

  Attributes:
    instruction: What was asked. It names the row, as a rule: no other has it.
    output_1: The baseline's answer.
    output_2: The model's.
    generator_1: The baseline's name.
    generator_2: The model's.
    preference: From 1 (the baseline's is better) to 2; None is no verdict.
    position: The row's place in the file, from 0.
    where: The same for errors.
    original: The row as it was read, with whatever else it has.
  """

  instruction: str
  output_1: str
  output_2: str
  generator_1: str
  generator_2: str
  preference: float | None
  position: int
  where: str
  original: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Annotations:
  """The verdicts of one judge on one model against one baseline.

  Attributes:
    rows: In the order of the file, which matters (`length_controlled`).
    annotator: The judge's name, if a row has it.
    num_zero: Ties that were recorded as 0, as old files do: now 1.5.
    num_null: Rows without a verdict.
  """

  rows: Sequence[Annotation]
  annotator: str | None
  num_zero: int
  num_null: int

  @property
  def baseline(self) -> str:
    """The name of what the model is compared with."""
    return self.rows[0].generator_1

  @property
  def model(self) -> str:
    """The name of what is evaluated."""
    return self.rows[0].generator_2

  @property
  def preferences(self) -> list[float | None]:
    """Of all rows, in order."""
    return [row.preference for row in self.rows]


def read(
  path: str | os.PathLike[str],
  *,
  key: Literal["instruction", "question_id"] = "instruction",
) -> Annotations:
  """Reads verdicts.

  Args:
    path: A JSON list, JSONL, or either of them compressed with gzip.
    key: What names a row. With "question_id", a whole number that each row then
      has besides, two rows may have one instruction.

  Raises:
    ValueError: A row is broken, lacks a key, repeats its name, has a
      preference out of range, or is of another model, baseline or judge than
      the first; or there are none.
    FileNotFoundError: There is no such file.
  """
  rows: list[Annotation] = []
  seen: dict[str, str] = {}
  constant: dict[str, tuple[str, str]] = {}
  num_zero = 0
  for where, row in alpaca_files.read_objects(path, _KIND):
    texts = {
      key: alpaca_files.text_field(row, key, where, _KIND) for key in _TEXTS
    }
    if key == "instruction":
      alpaca_files.require_new(seen, texts[key], where)
    else:
      _require_new_question(seen, row.get(key), where)
    _require_constant(constant, row, where)
    num_zero += row.get("preference") == 0
    rows.append(
      Annotation(
        **texts,
        preference=_preference(row, where),
        position=len(rows),
        where=where,
        original=row,
      )
    )
  return Annotations(
    rows=tuple(rows),
    annotator=constant["annotator"][0] if "annotator" in constant else None,
    num_zero=num_zero,
    num_null=sum(row.preference is None for row in rows),
  )


def _require_new_question(
  seen: dict[str, str], question_id: object, where: str
) -> None:
  """Notes a question's id and its row; it may stand once."""
  if isinstance(question_id, bool) or not isinstance(question_id, int):
    raise ValueError(
      f"{where}: question_id={alpaca_files.shown(question_id)} must be a whole"
      " number: it says which question the verdict is on."
    )
  first = seen.setdefault(str(question_id), where)
  if first != where:
    raise ValueError(
      f"{where} has the question_id of {first}, {question_id}: it would count"
      " twice. Drop one of them."
    )


def _require_constant(
  constant: dict[str, tuple[str, str]], row: alpaca_files.Row, where: str
) -> None:
  """Refuses a row of another model, baseline or judge than rows before it."""
  for key, what in _CONSTANT.items():
    if row.get(key) is None:
      continue
    name = alpaca_files.text_field(row, key, where, _KIND)
    if not name.isprintable():
      raise ValueError(
        f"{where}: {key}={alpaca_files.shown(name)} holds characters that"
        " cannot be printed: it must be a name."
      )
    first, first_where = constant.setdefault(key, (name, where))
    if name != first:
      raise ValueError(
        f"{where} has {key}={name!r} and {first_where} has {first!r}: one file"
        f" is of one {what}. Split it."
      )


def _preference(row: alpaca_files.Row, where: str) -> float | None:
  if "preference" not in row:
    raise ValueError(
      f"{where} has no 'preference': write null where there is no verdict. The"
      f" file must be {_KIND}."
    )
  value = row["preference"]
  # True is an int in Python, and no preference.
  if value is not None and (
    isinstance(value, bool) or not isinstance(value, int | float)
  ):
    raise ValueError(
      f"{where}: preference={alpaca_files.shown(value)} must be a number from 1"
      " to 2, or null."
    )
  try:
    return win_rate.normalised(value)
  except ValueError as error:
    raise ValueError(f"{where}: {error}") from None


def write(
  path: str | os.PathLike[str],
  annotations: Sequence[Annotation],
  glm_preferences: Sequence[float] | None = None,
) -> pathlib.Path:
  """Writes verdicts as they were read.

  Args:
    path: Of a .json file; one that is there is replaced.
    annotations: Written in this order, with all the keys they were read with.
    glm_preferences: What a length-controlled fit predicts of each, from 0 to
      1: written as `glm_preference`, as the authors' tool does.

  Returns:
    The path.
  """
  rows = [dict(row.original) for row in annotations]
  if glm_preferences is not None:
    for row, glm_preference in zip(rows, glm_preferences, strict=True):
      row[GLM_PREFERENCE] = float(glm_preference)
  return alpaca_files.write_objects(path, rows)
