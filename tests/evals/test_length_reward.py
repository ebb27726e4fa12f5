# SPDX-License-Identifier: Apache-2.0
"""Length reward: inclusive bounds on words and characters."""

import pytest

from ramjax.evals.answers import Answer
from ramjax.evals.length_reward import length_reward


def _score(*responses, **options):
  answers = [Answer((), response, {}, True, 1) for response in responses]
  return length_reward(answers, **options)


def test_bounds_on_words_are_inclusive():
  scores = _score("a", "a b", " a\nb  c ", "a b c d", min_words=2, max_words=3)
  assert scores == [0.0, 1.0, 1.0, 0.0]


def test_characters_are_counted_without_outer_space():
  scores = _score("ab", " abc\n", "abcde", min_characters=3, max_characters=4)
  assert scores == [0.0, 1.0, 0.0]


def test_all_bounds_must_hold():
  assert _score("a b", "abc", max_words=2, max_characters=2) == [0.0, 0.0]


@pytest.mark.parametrize(
  "options,said",
  [
    ({}, "no bound"),
    ({"min_words": -1}, "min_words=-1"),
    ({"max_characters": -1}, "max_characters=-1"),
    ({"min_words": 3, "max_words": 2}, "max_words=2"),
  ],
)
def test_bounds_that_bound_nothing_or_everything_are_refused(options, said):
  with pytest.raises(ValueError, match=said):
    _score(**options)
