# SPDX-License-Identifier: Apache-2.0
"""Words as NLTK's tokenizer parts them, by hand and on known counts."""

import gzip
import json
import pathlib

import pytest

from ramjax.evals import word_tokens

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data"


@pytest.mark.parametrize(
  "text,count",
  [
    ("", 0),
    (" \n\t", 0),
    ("... -- ?! () * $", 0),
    ("One, two; three.", 3),
    ('He said: "Stop (now)!"', 4),
    # Two words where an apostrophe parts them, one where it ends a word.
    ("It's what we'll do; they don't, I've said.", 12),
    ("DON'T the dogs' kennels", 5),
    ("I cannot and I'm gonna", 8),
    # Joined, and apart.
    ("a well-known and/or U.S.-born e.g. 1,234.5", 6),
    ("at 3:45, ratio 2:1:one,two", 6),
    ("5% of $20 & #3 @home", 5),
    ("wait...what -- no", 3),
    # Signs that are no ASCII are words of their own.
    ("yes\u2014no 1914\u20131918", 6),
    ("\u201cyes\u201d it\u2019s", 6),
    ("- item \u2022 item", 3),
    # The last full stop goes, with what closes behind it, and no other does.
    ('"It was Sam\'s."\n', 4),
    ("It is Sam's. It is.", 5),
  ],
)
def test_words_by_hand(text, count):
  assert word_tokens.count_words(text) == count


def test_the_published_example_has_its_56_words_and_all_others_theirs():
  """Every text whose number of words was recorded, 1,539 of three models."""
  limits = _DATA / "length_instructed/alpacaeval_li_RECONSTRUCTED.jsonl.gz"
  answers = _DATA / "alpaca_eval/baseline_gpt4_1106_preview.jsonl.gz"
  if not (limits.is_file() and answers.is_file()):
    pytest.skip("no answers with a known number of words on this machine")
  with gzip.open(limits, "rt") as file:
    rows = [json.loads(line) for line in file]
  with gzip.open(answers, "rt") as file:
    gpt4 = [json.loads(line) for line in file]
  known = [(row["baseline_output"], row["max_len"]) for row in rows]
  known += [
    (answer["output_1"], row["word_counts"]["gpt4_1106_preview"])
    for answer, row in zip(gpt4, rows, strict=True)
  ]
  assert len(known) == 1610
  wrong = [
    (text[:50], count, word_tokens.count_words(text))
    for text, count in known
    if word_tokens.count_words(text) != count
  ]
  assert wrong == []
  (superman,) = [
    row["max_len"]
    for answer, row in zip(gpt4, rows, strict=True)
    if "Superman" in answer["instruction"] and row["max_len"] == 56
  ]
  assert superman == 56
