# SPDX-License-Identifier: Apache-2.0
"""F1 reward: shared words, counted by hand."""

import pytest

from ramjax.evals.answers import Answer
from ramjax.evals.f1_reward import f1_reward, word_f1


@pytest.mark.parametrize(
  "text,truth,f1",
  [
    ("Paris", "paris", 1.0),
    # Precision 1/3, recall 1/1.
    ("in Paris France", "Paris", 0.5),
    # A word counts as often as both have it: precision 1/2, recall 1/1.
    ("no no", "no", 2 / 3),
    ("Rome", "Paris", 0.0),
    ("the", "a", 1.0),
    ("the", "Paris", 0.0),
    ("\ud800", "Paris", 0.0),
  ],
)
def test_the_harmonic_mean_of_precision_and_recall(text, truth, f1):
  assert word_f1(text, truth) == pytest.approx(f1)


def test_the_best_right_answer_counts():
  record = {"answer": ["New York City", "New York"]}
  assert f1_reward([Answer((), "new york", record, True, 1)]) == [1.0]


def test_a_row_without_the_truth_is_refused():
  with pytest.raises(ValueError, match=r"rewards\.f1 .*'answer'"):
    f1_reward([Answer((), "x", {}, True, 1)])
