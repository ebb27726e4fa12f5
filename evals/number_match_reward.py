# SPDX-License-Identifier: Apache-2.0
"""Whether the last number of an answer is the right one."""

import collections
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ramjax.evals import ground_truth
from ramjax.evals.answers import Answer

# A longer number is no answer to anything, and exact sums of it are slow.
_MAX_DIGITS = 400
_MAX_EXPONENT = 300

# Each alternative needs one pass: no two of them start alike and run on.
_UNSIGNED = (
  r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
  r"|\.[0-9]+"
)
_EXPONENT = r"(?:[eE][+-]?[0-9]+(?![0-9A-Za-z]))?"
# A sign after a word or a bracket is an operator: "10-5" ends in 5.
_NUMBER = re.compile(
  r"(?P<sign>(?<![\w)\]}$%.])[-+\u2212])?(?:\\?\$(?P<minus>[-\u2212])?)?"
  rf"(?P<top>(?:{_UNSIGNED}){_EXPONENT})"
  rf"(?: ?/ ?(?P<bottom>{_UNSIGNED}))?"
)


def number_match_reward(
  answers: Sequence[Answer], *, field: str = "answer"
) -> list[float]:
  """1.0 if the last number of the response equals its row's, else 0.0.

  Numbers are compared exactly, as fractions: "$1,234.50" is 2469/2. A currency
  or percent sign is a unit: "50%" is 50. A number of more than 400 digits
  equals nothing.

  Args:
    answers: What is scored.
    field: Of the rows: a number, or a text whose last number is meant; of a
      text with `####` (GSM8K's), what follows that.

  Returns:
    1.0 or 0.0 an answer.

  Raises:
    ValueError: A row has no such field, or no number in it.
  """
  return [
    float(last_number(answer.response) == _truth(answer, field, index))
    for index, answer in enumerate(answers)
  ]


def last_number(text: str) -> Fraction | None:
  """Returns the last number of a text, exactly; None if there is none.

  None, too, if the last number is too long, or divides by zero: the number
  before it is not what the text ends with.
  """
  matches = collections.deque(_NUMBER.finditer(text), maxlen=1)
  if not matches:
    return None
  match = matches[0]
  top = _fraction(match["top"])
  bottom = _fraction(match["bottom"] or "1")
  if top is None or not bottom:
    return None
  signs = [match["sign"], match["minus"]]
  negative = sum(sign in ("-", "\u2212") for sign in signs) % 2
  return -top / bottom if negative else top / bottom


def number_of(value: Any) -> Fraction | None:
  """Returns a number of JSON, or the last one of a text; None for neither."""
  if isinstance(value, str):
    return last_number(ground_truth.final_part(value))
  if isinstance(value, bool) or not isinstance(value, int | float):
    return None
  if isinstance(value, int):
    return Fraction(value)
  # A JSON float means its decimal digits: 0.1 is 1/10.
  return Fraction(repr(value)) if math.isfinite(value) else None


def _fraction(digits: str) -> Fraction | None:
  mantissa, _, exponent = digits.replace(",", "").lower().partition("e")
  if len(mantissa) > _MAX_DIGITS or len(exponent) > 4:
    return None
  power = int(exponent or "0")
  if abs(power) > _MAX_EXPONENT:
    return None
  return Fraction(mantissa) * Fraction(10) ** power


def _truth(answer: Answer, field: str, index: int) -> Fraction:
  value = ground_truth.truth_field(
    answer.record, field, reward="number_match", index=index
  )
  number = number_of(value)
  if number is None:
    raise ground_truth.bad_truth(
      value, field, reward="number_match", index=index, expected="a number"
    )
  return number
