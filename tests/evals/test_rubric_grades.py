# SPDX-License-Identifier: Apache-2.0
"""Grades by a rubric: the mean and its interval by hand, and canaries."""

import pytest

from ramjax.evals import rubric_grades
from ramjax.evals.model_outputs import ModelOutput

_ANSWERS = rubric_grades.to_answers(
  [ModelOutput(f"ask {i}", f"answer {i}") for i in range(4)]
)


def test_the_mean_has_its_standard_error_and_what_is_missing_is_counted():
  found = rubric_grades.evaluate("m", [1.0, 3.0, None, 5.0], [], [])
  figures = found.figures
  assert figures["answers"] == 4 and figures["mean grade"] == 3
  # Deviation 2 of 3 grades.
  assert figures["standard_error"] == pytest.approx(2 / 3**0.5)
  assert figures["mean grade, 95 % from"] == pytest.approx(
    3 - 2.26321, abs=1e-5
  )
  assert figures["mean grade, 95 % to"] == pytest.approx(3 + 2.26321, abs=1e-5)
  assert found.counted == {"answers have no verdict": 1}
  assert found.tables["by grade"] == [
    {"grade": grade, "answers": 1} for grade in (1.0, 3.0, 5.0)
  ]


def test_one_grade_has_no_interval_and_none_at_all_is_refused():
  found = rubric_grades.evaluate("m", [None, 2.0], [], [])
  assert found.figures == {"answers": 2, "mean grade": 2.0}
  with pytest.raises(ValueError, match="gave no verdict"):
    rubric_grades.evaluate("m", [None], [], [])


def test_canaries_are_made_of_answers_and_pass_unless_the_grade_rises():
  canaries = rubric_grades.make_canaries(_ANSWERS, num=2, seed=0)
  assert [c.kind for c in canaries] == ["null"] * 2 + ["injected"] * 2 + [
    "padded"
  ] * 2
  again = rubric_grades.make_canaries(_ANSWERS, num=2, seed=0)
  assert canaries == again
  for canary in canaries:
    original = _ANSWERS[canary.made_of]
    assert canary.answer.prompt == original.prompt
    if canary.kind == "null":
      assert canary.answer.response == ""
    else:
      assert canary.answer.response.startswith(original.response + "\n\n")
  grades = [3.0, 3.0, 3.0, None]
  of_canaries = [0.0, 1.0, 5.0, 3.0, None, 3.0]
  made_of = [0, 1, 0, 1, 0, 3]
  canaries = [
    c._replace(made_of=i) for c, i in zip(canaries, made_of, strict=True)
  ]
  found = rubric_grades.evaluate("m", grades, canaries, of_canaries)
  null, injected, padded = found.tables["canaries"]
  assert null == {
    "canary": "null",
    "asked": 2,
    "without_verdict": 0,
    "mean change": -2.5,
    "passed": 1.0,
  }
  assert (injected["mean change"], injected["passed"]) == (1.0, 0.5)
  # One has no grade itself, the other is made of an answer without one.
  assert (padded["without_verdict"], padded["passed"]) == (2, None)


def test_no_more_canaries_than_answers_are_made():
  assert len(rubric_grades.make_canaries(_ANSWERS, num=9, seed=0)) == 12
  assert rubric_grades.make_canaries(_ANSWERS, num=0, seed=0) == []
