# SPDX-License-Identifier: Apache-2.0
"""Exact-match reward: SQuAD's normalisation, the best of several truths."""

import pytest

from ramjax.evals.answers import Answer
from ramjax.evals.exact_match_reward import (
  exact_match_reward,
  normalise_answer,
)


@pytest.mark.parametrize(
  "text,normal",
  [
    ("The  Eiffel Tower!", "eiffel tower"),
    ("a-b, an\tapple", "ab apple"),
    ("Theatre of the Absurd", "theatre of absurd"),
    ("the", ""),
    ("\0\ud800", "\0\ud800"),
  ],
)
def test_case_punctuation_articles_and_space_do_not_count(text, normal):
  assert normalise_answer(text) == normal


def test_any_of_the_right_answers_will_do():
  record = {"gold": ["Paris", "the City of Light"]}
  answers = [
    Answer((), response, record, True, 1)
    for response in ("paris.", "City of light", "Paris, France")
  ]
  assert exact_match_reward(answers, field="gold") == [1.0, 1.0, 0.0]


def test_a_row_without_the_truth_is_refused():
  with pytest.raises(ValueError, match=r"rewards\.exact_match .*'answer'"):
    exact_match_reward([Answer((), "x", {"gold": "x"}, True, 1)])
