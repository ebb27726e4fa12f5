# SPDX-License-Identifier: Apache-2.0
"""Number-match reward: the last number, read exactly, against the truth."""

from fractions import Fraction

import pytest

from ramjax.evals.answers import Answer
from ramjax.evals.number_match_reward import last_number, number_match_reward


def _score(truth, *responses):
  answers = [Answer((), r, {"answer": truth}, True, 1) for r in responses]
  return number_match_reward(answers)


@pytest.mark.parametrize(
  "text,number",
  [
    ("The answer is 5.", 5),
    ("first 3, then 4", 4),
    ("$1,234.50", Fraction(2469, 2)),
    ("1,234,567 people", 1234567),
    ("1,2,3", 3),
    ("12,34", 34),
    ("50%", 50),
    ("-7", -7),
    ("\u22127", -7),
    ("-$5", -5),
    ("$-5$", -5),
    ("+5", 5),
    ("- 5 apples", 5),
    ("10-5", 5),
    ("x=-5", -5),
    ("a 3-4 split", 4),
    ("3/4", Fraction(3, 4)),
    ("-3/4", Fraction(-3, 4)),
    (".5", Fraction(1, 2)),
    ("0.1", Fraction(1, 10)),
    ("1.5e3", 1500),
    ("2e-1", Fraction(1, 5)),
    ("007", 7),
    ("\\boxed{5}", 5),
    ("5kg", 5),
    ("no number", None),
    ("5/0", None),
    ("\u0665", None),
  ],
)
def test_the_last_number_is_read_exactly(text, number):
  assert last_number(text) == number


@pytest.mark.parametrize(
  "text",
  [
    "9" * 1_000_000,
    "1e999999999",
    "1" + ",111" * 200_000,
    "1" + ",111" * 200_000 + "1",
    "1/" * 300_000,
    "-" * 500_000,
    "$" * 500_000,
    "1e" * 300_000,
    " " * 500_000,
    "\0\ud800",
  ],
)
def test_no_hostile_answer_is_right(text):
  assert _score("7", text) == [0.0]


def test_a_number_too_long_hides_the_one_before_it():
  assert last_number("5 " + "9" * 401) is None
  assert last_number("5 " + "9" * 400) == 10**400 - 1


@pytest.mark.parametrize(
  "truth",
  ["6 * 3 = 18, 18 + 2 = 20\n#### 1,020", "1020", "$1,020.00", 1020, 1020.0],
)
def test_the_truth_is_a_number_or_what_follows_the_mark(truth):
  assert _score(truth, "so 1020", "$1,020.", "1020.01", "1021") == [1, 1, 0, 0]


def test_a_float_of_json_means_its_digits():
  assert _score(0.1, "1/10", "0.10", "0.1000000000000000055") == [1, 1, 0]


@pytest.mark.parametrize("truth", ["none", True, float("nan"), [5], "#### "])
def test_a_truth_without_a_number_is_refused(truth):
  with pytest.raises(ValueError, match="needs a number in the field 'answer'"):
    _score(truth, "5")


def test_a_row_without_the_truth_is_refused():
  with pytest.raises(ValueError, match=r"rewards\.number_match .*'question'"):
    number_match_reward([Answer((), "5", {"question": ""}, True, 1)])
