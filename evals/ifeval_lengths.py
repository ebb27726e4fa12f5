# SPDX-License-Identifier: Apache-2.0
"""IFEval's instructions on length (arXiv 2311.07911, table 1)."""

from ramjax.evals import ifeval_keywords, ifeval_words

# Where the first word of a paragraph ends, besides white space.
_PUNCTUATION = frozenset(".,?!'\"")


def has_num_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
  """Whether the sentences, as `ifeval_words` counts them, are as many."""
  count = ifeval_words.count_sentences(text)
  return ifeval_keywords.has_relation(count, relation, num_sentences)


def has_num_words(text: str, *, num_words: int, relation: str) -> bool:
  """Whether the words are as many."""
  count = ifeval_words.count_words(text)
  return ifeval_keywords.has_relation(count, relation, num_words)


def has_num_paragraphs(text: str, *, num_paragraphs: int) -> bool:
  """Whether `***` parts the text into exactly as many paragraphs.

  The text may begin or end with a divider; between two there must be text.
  """
  first, *inner = text.split("***")
  last = inner.pop() if inner else ""
  if not all(part.strip() for part in inner):
    return False
  count = len(inner) + bool(first.strip()) + bool(last.strip())
  return count == num_paragraphs


def has_paragraph_first_word(
  text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
  r"""Whether `\n\n` parts the text rightly and the n-th part starts rightly.

  Blank parts are not counted as paragraphs but do keep their number, as in the
  released checker.
  """
  parts = text.split("\n\n")
  if sum(1 for part in parts if part.strip()) != num_paragraphs:
    return False
  if not 1 <= nth_paragraph <= num_paragraphs:
    return False
  words = parts[nth_paragraph - 1].split(maxsplit=1)
  if not words:
    return False
  word = words[0].lstrip("'").lstrip('"').lower()
  end = next((i for i, c in enumerate(word) if c in _PUNCTUATION), len(word))
  return word[:end] == first_word.lower()
