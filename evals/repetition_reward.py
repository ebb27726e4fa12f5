# SPDX-License-Identifier: Apache-2.0
"""A penalty for n-grams that an answer repeats."""

from collections.abc import Sequence

from ramjax.evals.answers import Answer


def repetition_reward(answers: Sequence[Answer], *, n: int = 3) -> list[float]:
  """Minus the share of each answer's n-grams that repeat an earlier one.

  The share that seq-rep-n of Welleck et al. (arXiv 1908.04319, section 4)
  measures, of words rather than tokens.

  Args:
    answers: What is scored, each by itself.
    n: Words of an n-gram, >= 1.

  Returns:
    One number in (-1, 0] an answer; 0 for one of fewer than n words.

  Raises:
    ValueError: `n` is below 1.
  """
  if n < 1:
    raise ValueError(
      f"rewards.repetition.n={n} must be at least 1: 3 is usual."
    )
  counts = (repeated_ngrams(answer.response, n) for answer in answers)
  return [-repeated / total if repeated else 0.0 for repeated, total in counts]


def repeated_ngrams(text: str, n: int) -> tuple[int, int]:
  """Counts the n-grams of words that stood earlier in the text.

  Args:
    text: Any text; white space separates its words.
    n: Words of an n-gram, >= 1.

  Returns:
    `(repeated, total)`; both 0 for a text of fewer than n words.
  """
  words = text.split()
  total = max(len(words) - n + 1, 0)
  distinct = {tuple(words[i : i + n]) for i in range(total)}
  return total - len(distinct), total
