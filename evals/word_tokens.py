# SPDX-License-Identifier: Apache-2.0
"""How many words a text has, nearly as NLTK's word tokenizer counts them.

What NLTK takes for a token is a word unless it is ASCII punctuation throughout.
This project has no such dependency; the rules below are of the tokenizer's kind
(Penn Treebank's) and are written anew.
"""

import re
import string

_PUNCTUATION = frozenset(string.punctuation)
# Tokens by themselves wherever they stand. They are no ASCII, so they count.
_APART = re.compile("[\u00ab\u00bb\u201c\u201d\u2018\u2019\u201e\u2013\u2014]")
# Tokens by themselves that do not count, or space.
_MARKS = re.compile(r"""[\s"`;@#$%&?!*()\[\]{}<>]|\.{2,}|--|''|[,:](?!\d)""")
# Behind the last full stop of a text.
_CLOSERS = string.whitespace + "])}>\"'\u00bb\u201d\u2019"
# A second word behind a first one: "do|n't", "we|'ll".
_CLITIC = re.compile(r"(?<=[^'])(?:n't|N'T|'(?:[sSmMdD]|ll|LL|re|RE|ve|VE))\Z")
# Two words in one.
_JOINED = re.compile(r"\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b", re.I)


def count_words(text: str) -> int:
  """Counts word tokens.

  Split at white space; brackets, quotes, marks such as "?", ";" and "%", dots
  in a row, "--", and "," and ":" before anything but a digit are apart and
  count for nothing. So does what else is ASCII punctuation throughout. Curly
  quotes, "–" and "—" are apart as well and count for one each ("I—" is two
  words, and so is "’s"). What follows an apostrophe in "it's", "we'll" or
  "I've" is a word of its own, and "n't" in "don't"; "cannot", "gonna" and the
  like are two. A hyphen, "/" or a full stop inside joins ("U.S.-born" is one);
  the last full stop of a text is dropped.

  Where it can differ from NLTK: rare contractions ("'tis", "d'ye", "more'n"),
  an apostrophe before a single letter ("'a"), and a contraction right before a
  full stop inside the text ("it's."), which is one word as for NLTK's word
  tokenizer by itself; with its sentence tokenizer in front it is two.

  Args:
    text: Anything; the time taken is linear in it.

  Returns:
    0 or more.
  """
  body = text.rstrip(_CLOSERS)
  if body.endswith("."):
    text = f"{body[:-1]} {text[len(body) :]}"
  spaced = _MARKS.sub(" ", _APART.sub(r" \g<0> ", text))
  count = sum(1 for _ in _JOINED.finditer(text))
  for token in spaced.split():
    if not _PUNCTUATION.issuperset(token):
      count += 1 + bool(_CLITIC.search(token))
  return count
