# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_words."""

import pytest

from ramjax.evals import ifeval_words


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("", 0),
    ("one two", 2),
    ("don't", 2),
    ("well-known", 2),
    ("a_b 3.5 *c*", 4),
    ("été 日本語", 2),
    ("... -- !", 0),
  ],
)
def test_words_are_runs_of_letters_and_digits(text, count):
  assert ifeval_words.count_words(text) == count


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("", 0),
    ("A Word in CAPITALS", 2),
    ("GPT-4 and U.S. and WELL-KNOWN", 3),
    ("I'm", 1),
    ("123 4th", 0),
    ("1ST", 1),
    ("not Mixed mIXED", 0),
  ],
)
def test_capital_words_have_no_small_letter(text, count):
  assert ifeval_words.count_capital_words(text) == count


@pytest.mark.parametrize(
  ("text", "count"),
  [
    ("", 0),
    ("   \n", 0),
    ("No mark", 1),
    ("One. Two! Three?", 3),
    ("One. Two! Three? Four", 4),
    ("What?! Yes.", 2),
    ('He said "stop." Then he left.', 2),
    ("*Bold.* **More.**", 2),
    ("Version 3.5 is out.", 1),
    ("See example.com for more.", 1),
    ("Dr. Smith met Mrs. Jones.", 1),
    ("J. K. Rowling wrote it.", 1),
    ("So do I. She does not.", 2),
    ("Pens, ink, etc. are here.", 1),
    ("It is 5 p.m. We go.", 2),
    ("It is 5 p.m. and we go.", 1),
    ("Well... maybe.", 1),
    ("Well... Maybe.", 2),
    ("First line.\nSecond line.", 2),
    ("First line\nsecond line", 1),
  ],
)
def test_sentences_end_at_marks_that_end_one(text, count):
  assert ifeval_words.count_sentences(text) == count


@pytest.mark.parametrize(
  ("text", "sentences", "capital_words"),
  [
    (".", 1, 0),
    ("!)", 1, 0),
    ('."', 1, 0),
    (".x", 1, 0),
    ("a.", 1, 0),
    (". ", 200_000, 0),
    ("A. ", 1, 200_000),
  ],
)
def test_hostile_text_is_counted_in_linear_time(text, sentences, capital_words):
  # Quadratic time would be hours.
  assert ifeval_words.count_sentences(text * 200_000) == sentences
  assert ifeval_words.count_capital_words(text * 200_000) == capital_words
