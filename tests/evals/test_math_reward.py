# SPDX-License-Identifier: Apache-2.0
"""Math reward: the box, the last formula or the last number, by meaning."""

import pytest

from ramjax.evals import math_reward as module
from ramjax.evals.answers import Answer


def _score(truth, *responses, **options):
  answers = [Answer((), r, {"answer": truth}, True, 1) for r in responses]
  return module.math_reward(answers, **options)


@pytest.mark.parametrize(
  "response,expression",
  [
    (r"\boxed{1} so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
    (r"$\boxed{\boxed{5}}$", "5"),
    (r"\fbox{x} 7", "x"),
    (r"\boxed {x}", "x"),
    (r"\boxed{\{1\}} 7", r"\{1\}"),
    (r"\boxed{5 then $x$", "x"),
    ("$1$ and $$x^2$$.", "x^2"),
    (r"so \(x+1\) it is", "x+1"),
    (r"so \[x+1\] it is", "x+1"),
    ("it costs $5 and I have $6", "6"),
    (r"\$5", "5"),
    ("about 1,234.", "1234"),
    ("3/4", "3/4"),
    ("no idea", None),
    ("", None),
    ("$", None),
    ("$$", None),
  ],
)
def test_the_box_then_the_last_formula_then_the_last_number(
  response, expression
):
  assert module.final_expression(response) == expression


@pytest.mark.parametrize(
  "truth",
  ["1/2", r"\frac12", r"so $\boxed{\dfrac{1}{2}}$", "Half.\n#### 0.5", 0.5],
)
def test_the_truth_is_an_expression_a_box_a_marked_answer_or_a_number(truth):
  right = (r"\boxed{\frac{1}{2}}", "It is $0.5$", "It is 0.50")
  assert _score(truth, *right, r"\boxed{2}", "?") == [1, 1, 1, 0, 0]


def test_words_are_compared_as_words():
  assert _score(r"\text{East}", r"\boxed{east}", r"\boxed{seat}") == [1, 0]


@pytest.mark.parametrize(
  "text",
  [
    r"\boxed{" * 50_000,
    "$" * 300_000,
    r"\(" * 200_000,
    r"\boxed{9^9^9^9^9}",
    r"\boxed{" + "(" * 100_000 + "}",
    r"\boxed{" + "9" * 100_000 + "}",
    r"\boxed{" + "{" * 50_000 + "}" * 50_001,
    "\0\ud800",
    "\\boxed{\0\ud800}",
    "\\",
    "\\boxed{\\",
  ],
)
def test_no_hostile_answer_is_right(text):
  assert _score("7", text) == [0.0]


@pytest.mark.parametrize("truth", ["", r"\boxed{}", True, [1], float("inf")])
def test_a_truth_without_an_expression_is_refused(truth):
  with pytest.raises(ValueError, match="needs an expression"):
    _score(truth, "5")


def test_a_row_without_the_truth_is_refused():
  with pytest.raises(ValueError, match=r"rewards\.math .*'solution'"):
    _score("5", "5", field="solution")
