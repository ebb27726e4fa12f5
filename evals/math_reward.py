# SPDX-License-Identifier: Apache-2.0
"""Whether an answer's final expression means the same as the right one."""

import collections
import re
from collections.abc import Sequence

from ramjax.evals import ground_truth, math_equivalence, number_match_reward
from ramjax.evals.answers import Answer

_BOX = re.compile(r"\\(?:boxed|fbox) ?\{")


def math_reward(
  answers: Sequence[Answer], *, field: str = "answer"
) -> list[float]:
  r"""1.0 if the final expression of the response equals its row's, else 0.0.

  Of the response the last `\boxed{...}` counts; without one the last formula
  between dollar signs, if it is mathematics; without that the last number.
  See `math_equivalence.equivalent` for what is equal.

  Args:
    answers: What is scored.
    field: Of the rows: a number, an expression as LaTeX or plain text, or a
      text with it in its last `\boxed{...}` or after `####`.

  Returns:
    1.0 or 0.0 an answer.

  Raises:
    ValueError: A row has no such field, or nothing in it.
  """
  scores = []
  for index, answer in enumerate(answers):
    truth = _truth(answer, field, index)
    given = final_expression(answer.response)
    right = given is not None and math_equivalence.equivalent(given, truth)
    scores.append(float(right))
  return scores


def final_expression(response: str) -> str | None:
  """Returns the expression that a response ends with, or None."""
  box = last_box(response)
  if box is not None:
    return box
  formula = _last_formula(response)
  if formula is not None and math_equivalence.is_expression(formula):
    return formula
  number = number_match_reward.last_number(response)
  return None if number is None else str(number)


def last_box(text: str) -> str | None:
  r"""Returns what is in the last `\boxed{...}`, braces nested; None for none.

  A box without its end is none: the text was cut off within it.
  """
  boxes = collections.deque(_BOX.finditer(text), maxlen=1)
  if not boxes:
    return None
  start = boxes[0].end()
  depth, index = 1, start
  while index < len(text) and depth:
    if text[index] == "\\":
      index += 1
    elif text[index] in "{}":
      depth += 1 if text[index] == "{" else -1
    index += 1
  return None if depth else text[start : index - 1].strip()


def _last_formula(text: str) -> str | None:
  r"""What is between the last two dollar signs, or the last `\(...\)`."""
  text = text.replace("\\$", "").replace("$$", "$")
  for old, new in (("\\(", "$"), ("\\)", "$"), ("\\[", "$"), ("\\]", "$")):
    text = text.replace(old, new)
  end = text.rfind("$")
  start = text.rfind("$", 0, max(end, 0))
  return text[start + 1 : end].strip() or None if start >= 0 else None


def _truth(answer: Answer, field: str, index: int) -> str:
  value = ground_truth.truth_field(
    answer.record, field, reward="math", index=index
  )
  if isinstance(value, str):
    box = last_box(value)
    text = ground_truth.final_part(value) if box is None else box
  else:
    number = number_match_reward.number_of(value)
    text = "" if number is None else str(number)
  if not text:
    raise ground_truth.bad_truth(
      value, field, reward="math", index=index, expected="an expression"
    )
  return text
