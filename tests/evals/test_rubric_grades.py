# SPDX-License-Identifier: Apache-2.0
"""Grades by a rubric: the mean and its interval by hand, and canaries."""

import pytest

from ramjax.evals import grade_canaries, rubric_grades
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


def test_canaries_have_a_row_each_kind():
  canaries = grade_canaries.make(["a", "b"], num=1, seed=0)
  found = rubric_grades.evaluate("m", [3.0, 3.0], canaries, [0.0, 5.0, None])
  null, injected, padded = found.tables["canaries"]
  assert (null["passed"], injected["passed"], padded["passed"]) == (1, 0, None)
  assert ["injected answers" in note for note in found.notes] == [True]
  canaries = grade_canaries.make(["a"], num=1, seed=0)
  found = rubric_grades.evaluate("m", [3.0], canaries, [3.0] * 3, lowest=0.0)
  assert len(found.notes) == 2


def test_an_answer_with_other_words_is_to_the_same_prompt():
  changed = rubric_grades.with_text(_ANSWERS[0], "other")
  assert changed.prompt == _ANSWERS[0].prompt and changed.response == "other"
