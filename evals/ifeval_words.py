# SPDX-License-Identifier: Apache-2.0
"""How IFEval counts words, sentences and words in capitals.

The released checkers (Zhou et al. 2023, arXiv 2311.07911) use the tokenizers of
NLTK. This project has no such dependency: words are counted by the same
pattern, sentences and words in capitals by the rules below, which agree with
NLTK's on plain prose and may differ by a few on abbreviations, dialogue and
symbols. Every count takes time linear in the text.
"""

import re

_WORD = re.compile(r"\w+")

# Joined by a mark, it is one word ("U.S", "AND/OR", "WELL-KNOWN"); an
# apostrophe parts it, as NLTK does: "I'm" is the capital "I" and "'m".
_JOINED_WORD = re.compile("\\w+(?:[-./&\u2019]\\w+)*")

# Marks that may end a sentence, what may close it, and where it ends. It is
# tried once a run of marks, and gives back nothing: linear on hostile text.
_CLOSERS = "\"'\u201d\u2019)]*_"
_END = re.compile(rf"(?<![.!?])[.!?]++[{re.escape(_CLOSERS)}]*+(?=\s|\Z)")
# What may stand right before a word.
_OPENERS = re.compile("[\\s(\"'\u201c\u2018\\[*_]")

# Never the end of a sentence: a name or a number follows.
_TITLES = frozenset(
  "mr mrs ms dr prof st gen sen rep rev gov capt lt col sgt mt hon"
  " vs e.g i.e cf fig figs vol eq eqs viz".split()
)
# The end of one only if a capital follows.
_ABBREVIATIONS = frozenset(
  "a.m p.m u.s u.k u.n etc inc ltd co corp jr sr dept approx est no"
  " jan feb mar apr jun jul aug sep sept oct nov dec ave blvd rd al".split()
)
# No abbreviation is longer, so no more is looked at before a full stop.
_LONGEST = 8


def count_words(text: str) -> int:
  """Counts runs of letters, digits and underscores."""
  return sum(1 for _ in _WORD.finditer(text))


def count_capital_words(text: str) -> int:
  """Counts words without a small letter and with a capital one: "A", "GPT-4"."""
  return sum(m.group().isupper() for m in _JOINED_WORD.finditer(text))


def count_sentences(text: str) -> int:
  """Counts sentences: what lies between marks that end one.

  A sentence ends at a run of `.`, `!` and `?`, with the quotes and brackets
  that close it, if white space or the end of the text follows. A full stop does
  not end one after a title ("Dr."), after an initial ("J. Smith"), nor after
  another abbreviation or dots ("...") that a small letter follows. Words after
  the last mark are a sentence; line breaks alone end none; the "1." of a list
  is one, as it is for NLTK.
  """
  count = start = 0
  for mark in _END.finditer(text):
    if _ends_sentence(text, mark):
      count += 1
      start = mark.end()
  return count + bool(_WORD.search(text, start))


def _ends_sentence(text: str, mark: re.Match[str]) -> bool:
  dots = mark.group().rstrip(_CLOSERS)
  if "!" in dots or "?" in dots:
    return True
  before = text[max(0, mark.start() - _LONGEST) : mark.start()]
  # All of the last word, or a part of it that is too long for a short form.
  word = _OPENERS.split(before)[-1]
  following = text[mark.end() : mark.end() + 64].lstrip()[:1]
  if not following:
    return True
  if dots != ".":
    return not following.islower()
  if word.lower() in _TITLES or (len(word) == 1 and word.isupper()):
    return word == "I"
  return word.lower() not in _ABBREVIATIONS or not following.islower()
