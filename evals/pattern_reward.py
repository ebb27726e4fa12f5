# SPDX-License-Identifier: Apache-2.0
"""Whether an answer matches a regular expression of the config."""

import re
from collections.abc import Sequence

from ramjax.evals.answers import Answer

# Python's `re` has no time limit, so the text it sees has a length limit.
MAX_CHARACTERS = 100_000

_MODES = {"search": re.Pattern.search, "fullmatch": re.Pattern.fullmatch}


def pattern_reward(
  answers: Sequence[Answer], *, pattern: str, mode: str
) -> list[float]:
  r"""1.0 for an answer that matches the pattern, 0.0 for any other.

  An answer of more than 100,000 characters does not match. A pattern whose
  repeats overlap, such as `(a+)+b`, can still take for ever on a short
  answer: write it so that each character can be matched in one way only.

  Args:
    answers: What is scored.
    pattern: In the syntax of Python's `re`; flags go inside, as in `(?s).*`.
    mode: "search" for a match anywhere, "fullmatch" for the whole answer.

  Returns:
    1.0 or 0.0 an answer.

  Raises:
    ValueError: The pattern is no regular expression; the mode is unknown.
  """
  if mode not in _MODES:
    raise ValueError(
      f"rewards.pattern.mode={mode!r} must be one of {', '.join(_MODES)}."
    )
  try:
    compiled = re.compile(pattern)
  except (re.error, RecursionError, OverflowError) as error:
    raise ValueError(
      f"rewards.pattern.pattern={pattern!r} is no regular expression of"
      f" Python's re: {error}."
    ) from None
  match = _MODES[mode]
  return [
    float(
      len(answer.response) <= MAX_CHARACTERS
      and match(compiled, answer.response) is not None
    )
    for answer in answers
  ]
