# SPDX-License-Identifier: Apache-2.0
"""IFEval's instructions on keywords and letters (arXiv 2311.07911, table 1).

A keyword is a text to be found, whatever its case; the released checkers take
it for a regular expression, which is the same for the words they ship.
"""

from collections.abc import Sequence


def has_relation(count: int, relation: str, threshold: int) -> bool:
  """Whether `count` is "less than" or "at least" the threshold."""
  return count < threshold if relation == "less than" else count >= threshold


def has_keywords(text: str, *, keywords: Sequence[str]) -> bool:
  """Whether every keyword is somewhere in the text, also inside a word."""
  lower = text.lower()
  return all(keyword.lower() in lower for keyword in keywords)


def has_keyword_frequency(
  text: str, *, keyword: str, frequency: int, relation: str
) -> bool:
  """Whether a keyword is there as often as asked, also inside words."""
  count = text.lower().count(keyword.strip().lower())
  return has_relation(count, relation, frequency)


def lacks_forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> bool:
  """Whether none of the words is there; inside a longer word they may be."""
  lower = text.lower()
  return not any(_has_word(lower, word.lower()) for word in forbidden_words)


def has_letter_frequency(
  text: str, *, letter: str, let_frequency: int, let_relation: str
) -> bool:
  """Whether a character is there as often as asked, whatever its case."""
  count = text.lower().count(letter.lower())
  return has_relation(count, let_relation, let_frequency)


def _has_word(text: str, word: str) -> bool:
  """Whether `word` is there with no letter, digit or underscore around it."""
  start = text.find(word)
  while start >= 0:
    around = text[max(0, start - 1) : start], text[start + len(word) :][:1]
    if not any(letter.isalnum() or letter == "_" for letter in around):
      return True
    start = text.find(word, start + 1)
  return False
