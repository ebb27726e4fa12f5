# SPDX-License-Identifier: Apache-2.0
"""Repetition reward: n-grams of words that stood earlier, counted by hand."""

import math

import pytest

from ramjax.evals.answers import Answer
from ramjax.evals.repetition_reward import repeated_ngrams, repetition_reward


def _score(*responses, **options):
  answers = [Answer((), response, {}, True, 1) for response in responses]
  return repetition_reward(answers, **options)


@pytest.mark.parametrize(
  "text,n,counts",
  [
    ("a b c a b c", 3, (1, 4)),  # abc bca cab abc
    ("a a a a", 2, (2, 3)),
    ("a b", 3, (0, 0)),
    ("a b c", 3, (0, 1)),
    ("", 1, (0, 0)),
    ("the cat\nthe  cat", 1, (2, 4)),
  ],
)
def test_repeats_of_earlier_ngrams_are_counted(text, n, counts):
  assert repeated_ngrams(text, n) == counts


def test_the_penalty_is_the_share_of_each_answer_by_itself():
  assert _score("a b c a b c", "a b c", "a") == [-0.25, 0.0, 0.0]
  assert math.copysign(1, _score("a b c")[0]) == 1


def test_ngrams_of_nothing_are_refused():
  with pytest.raises(ValueError, match="n=0"):
    _score(n=0)
