# SPDX-License-Identifier: Apache-2.0
"""What a row says the right answer is, for rewards that compare with it."""

from collections.abc import Mapping
from typing import Any

# GSM8K's records end their reasoning with it and the answer.
_FINAL_MARK = "####"


def truth_field(
  record: Mapping[str, Any], field: str, *, reward: str, index: int
) -> Any:
  """Returns the field of a record that holds the ground truth.

  Args:
    record: The raw row of an answer.
    field: Name of the field, the reward's option `field`.
    reward: Name of the reward, for the error.
    index: Position of the answer among those scored, for the error.

  Raises:
    ValueError: The record lacks the field, or it is null.
  """
  value = record.get(field)
  if value is None:
    found = ", ".join(sorted(map(repr, record))) or "no field at all"
    null = ", which is null" if field in record else ""
    raise ValueError(
      f"rewards.{reward} compares with the field {field!r} of every row, and"
      f" the row of answer {index} has {found}{null}. Add {field!r} to the rows,"
      f" set rewards.{reward}.field to the field that holds the ground truth,"
      f" or drop rewards.{reward}."
    )
  return value


def bad_truth(
  value: Any, field: str, *, reward: str, index: int, expected: str
) -> ValueError:
  """Returns the error for a ground truth that is there and is of no use."""
  shown = repr(value)
  if len(shown) > 80:
    shown = f"{shown[:77]}..."
  return ValueError(
    f"rewards.{reward} needs {expected} in the field {field!r}, and the row of"
    f" answer {index} has {shown}. Correct the row, set"
    f" rewards.{reward}.field to another field, or drop rewards.{reward}."
  )


def final_part(text: str) -> str:
  """Returns what follows the last `####`, as in GSM8K, or the whole text."""
  return text.rpartition(_FINAL_MARK)[2].strip()


def truth_texts(
  record: Mapping[str, Any], field: str, *, reward: str, index: int
) -> list[str]:
  """Returns the accepted answers of a record: a string, or a list of them.

  Raises:
    ValueError: The field is missing, null, an empty list or something else.
  """
  value = truth_field(record, field, reward=reward, index=index)
  texts = [value] if isinstance(value, str) else value
  if (
    not isinstance(texts, list | tuple)
    or not texts
    or not all(isinstance(text, str) for text in texts)
  ):
    raise bad_truth(
      value,
      field,
      reward=reward,
      index=index,
      expected="a string or a non-empty list of strings",
    )
  return list(texts)
