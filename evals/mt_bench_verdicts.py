# SPDX-License-Identifier: Apache-2.0
"""From the words of MT-Bench's judge to a grade, or to who is better.

The rules are those of the benchmark's authors' tool (Zheng et al., arXiv
2306.05685, FastChat's llm_judge), quirks included, so that recorded verdicts
can be had again.
"""

import math
import re
from typing import Literal

Verdict = Literal["A", "B", "tie", "error"]

# Ratings nearer than this to each other are a tie.
TIE_WITHIN = 0.1

_NO_SCORE = -1
# Digits and an optional fraction. No two parts of it can share a digit, so a
# long row of digits costs no more than its length.
_NUMBER = r"([0-9]+(?:\.[0-9]*)?)"
_SCORE = tuple(
  re.compile(pattern) for pattern in (rf"\[\[{_NUMBER}\]\]", rf"\[{_NUMBER}\]")
)
_TWO_SCORES = tuple(
  re.compile(pattern)
  for pattern in (
    rf"\[\[{_NUMBER},\s?{_NUMBER}\]\]",
    rf"\[{_NUMBER},\s?{_NUMBER}\]",
  )
)


def read_score(judgment: str) -> float:
  """The grade in a judge's words.

  It is the first number in double brackets; without any, the first in single
  brackets. Its size is not checked, as in the authors' tool: [[100]] is 100. A
  number with leading zeros, at which their tool stops, is read as it is meant.

  Args:
    judgment: What the judge wrote.

  Returns:
    The grade, an int where it was written without a fraction; -1 if there is
    none, or none that a float holds.
  """
  for pattern in _SCORE:
    if found := pattern.search(judgment):
      return _number(found[1])
  return _NO_SCORE


def _number(digits: str) -> float:
  value = float(digits)
  if not math.isfinite(value):
    return _NO_SCORE
  return value if "." in digits else int(value)


def read_pair(judgment: str, output_format: str = "[[A]]") -> Verdict:
  """Who is better, in a judge's words.

  In the format "[[A]]", [[A]] anywhere counts before [[B]], and that before
  [[C]], a tie, whichever stands first: the authors' tool asks for them in this
  order. In the format "[[rating_a,rating_b]]" the first two numbers in double
  brackets, or else in single ones, are compared as floats; they tie where they
  differ by at most `TIE_WITHIN`.

  Args:
    judgment: What the judge wrote.
    output_format: Of the prompt it answered.

  Returns:
    The better answer's letter, "tie", or "error" if there is no verdict.

  Raises:
    ValueError: An output format that is not known.
  """
  if output_format == "[[A]]":
    marks: dict[str, Verdict] = {"[[A]]": "A", "[[B]]": "B", "[[C]]": "tie"}
    for mark, verdict in marks.items():
      if mark in judgment:
        return verdict
    return "error"
  if output_format != "[[rating_a,rating_b]]":
    raise ValueError(
      f"output_format={output_format!r} is not known: it must be [[A]] or"
      " [[rating_a,rating_b]]."
    )
  for pattern in _TWO_SCORES:
    if found := pattern.search(judgment):
      first, second = float(found[1]), float(found[2])
      if not (math.isfinite(first) and math.isfinite(second)):
        return "error"
      if abs(first - second) <= TIE_WITHIN:
        return "tie"
      return "A" if first > second else "B"
  return "error"


def winner(verdict: Verdict, *, swapped: bool) -> str:
  """A game's verdict in terms of models.

  Args:
    verdict: Of the game.
    swapped: Whether model_2 was shown as A, as it is in game 2.

  Returns:
    "model_1", "model_2", "tie" or "error", as a judgment records it.
  """
  if verdict in ("tie", "error"):
    return verdict
  return "model_1" if (verdict == "A") != swapped else "model_2"
