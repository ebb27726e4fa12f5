# SPDX-License-Identifier: Apache-2.0
"""Marks of questions with given answers, worked out by hand."""

import math

import numpy as np
import pytest

from ramjax.evals import multiple_choice
from ramjax.evals.multiple_choice import Question, context_of, mark


def _question(*choices, right=0):
  flags = tuple(i == right for i in range(len(choices)))
  return Question("row 1", "Q: a?\nA:", choices, flags)


def test_the_likeliest_choice_counts():
  assert mark(_question("x", "y"), [-1.0, -2.0]).acc == 1
  found = mark(_question("x", "y"), [-2.0, -1.0])
  assert (found.acc, found.chosen) == (0, 1)


def test_of_equals_the_first_is_taken():
  assert mark(_question("x", "y", right=0), [-1.0, -1.0]).acc == 1
  found = mark(_question("x", "y", right=1), [-1.0, -1.0])
  assert (found.acc, found.acc_norm, found.acc_bytes) == (0, 0, 0)


def test_lengths_are_characters_or_bytes():
  # By character -6/6 beats -4/3; by byte (3 and 9) -6/9... is beaten by none.
  longer = mark(_question("abc", "abcdef", right=1), [-4.0, -6.0])
  assert (longer.acc, longer.acc_norm, longer.acc_bytes) == (0, 1, 1)
  # Three characters are nine bytes: per character -1.5 and -1.2, per byte
  # -1.5 / 3 and -1.2.
  wide = mark(_question("€€€", "abcde", right=0), [-4.5, -6.0])
  assert (wide.acc, wide.acc_norm, wide.acc_bytes) == (1, 0, 1)


def test_a_choice_without_text_is_never_the_likeliest_by_length():
  found = mark(_question("", "abc", right=0), [-0.1, -9.0])
  assert (found.acc, found.acc_norm, found.acc_bytes) == (1, 0, 0)


def test_true_mass_is_the_share_of_all_right_choices():
  question = Question("", "Q", ("a", "b", "c"), (True, False, True))
  logps = [math.log(0.1), math.log(0.2), math.log(0.1)]
  assert mark(question, logps).true_mass == pytest.approx(0.5)
  # Far too small for exp.
  low = mark(question, [x - 5000 for x in logps])
  assert low.true_mass == pytest.approx(0.5)


def test_marks_are_those_of_a_plain_loop():
  rng = np.random.default_rng(0)
  for _ in range(50):
    choices = tuple(
      "abé€"[i] * int(n) for i, n in enumerate(rng.integers(1, 9, 4))
    )
    logps = (-rng.exponential(5, 4)).tolist()
    gold = int(rng.integers(4))
    found = mark(_question(*choices, right=gold), logps)
    assert found.acc == (int(np.argmax(logps)) == gold)
    chars = [x / len(c) for x, c in zip(logps, choices, strict=True)]
    assert found.acc_norm == (chars.index(max(chars)) == gold)
    sizes = [x / len(c.encode()) for x, c in zip(logps, choices, strict=True)]
    assert found.acc_bytes == (sizes.index(max(sizes)) == gold)
    mass = math.exp(logps[gold]) / sum(map(math.exp, logps))
    assert found.true_mass == pytest.approx(mass)


def test_one_number_for_each_choice_is_needed():
  with pytest.raises(ValueError, match="row 1: 2 choices, and 3"):
    mark(_question("x", "y"), [-1.0, -2.0, -3.0])


def test_examples_stand_before_the_question_with_their_answers():
  shot = Question("", "Q: one?\nA:", ("no", "yes"), (False, True))
  found = context_of(_question("x", "y"), [shot, shot], "Two lines.\n\n")
  example = "Q: one?\nA: yes\n\n"
  assert found == "Two lines.\n\n" + 2 * example + "Q: a?\nA:"
  assert multiple_choice.continuations_of(_question("x", "y")) == [" x", " y"]


def test_the_standard_error_is_that_of_a_sample():
  mean, error = multiple_choice.mean_and_error([1.0, 0.0, 0.0])
  assert mean == pytest.approx(1 / 3)
  assert error == pytest.approx(math.sqrt((4 + 1 + 1) / 9 / 2 / 3))
  assert multiple_choice.mean_and_error([1.0]) == (1.0, None)
