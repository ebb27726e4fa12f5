# SPDX-License-Identifier: Apache-2.0
"""IFEval's instructions on capital letters (arXiv 2311.07911, table 1)."""

from ramjax.evals import ifeval_keywords, ifeval_language, ifeval_words


def has_capital_words(
  text: str, *, capital_frequency: int, capital_relation: str
) -> bool:
  """Whether words in capitals, "A" and "I" too, are there as often as asked."""
  count = ifeval_words.count_capital_words(text)
  return ifeval_keywords.has_relation(
    count, capital_relation, capital_frequency
  )


def is_english_capital(text: str) -> bool:
  """Whether the text is English and has no small letter."""
  return text.isupper() and ifeval_language.is_language(text, language="en")


def is_english_lowercase(text: str) -> bool:
  """Whether the text is English and has no capital letter."""
  return text.islower() and ifeval_language.is_language(text, language="en")
