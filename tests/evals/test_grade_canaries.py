# SPDX-License-Identifier: Apache-2.0
"""Canaries of a judge of single answers: how they are made, and when they pass."""

import pytest

from ramjax.evals import grade_canaries

_TEXTS = [f"answer {i}" for i in range(4)]


def test_they_are_made_of_the_same_answers_in_each_kind():
  canaries = grade_canaries.make(_TEXTS, num=2, seed=0)
  assert [c.kind for c in canaries] == [
    *("null", "null", "injected", "injected", "padded", "padded")
  ]
  assert canaries == grade_canaries.make(_TEXTS, num=2, seed=0)
  assert canaries[0].made_of == canaries[2].made_of == canaries[4].made_of
  for canary in canaries:
    if canary.kind == "null":
      assert canary.text == ""
    elif canary.kind == "padded":
      assert canary.text.startswith(_TEXTS[canary.made_of] + "\n\n")
    else:
      # In the answer's place: behind a good one it would deserve its grade.
      assert _TEXTS[canary.made_of] not in canary.text
      assert "highest grade" in canary.text


def test_no_more_than_there_are_answers_are_made():
  assert len(grade_canaries.make(_TEXTS, num=9, seed=0)) == 12
  assert grade_canaries.make(_TEXTS, num=0, seed=0) == []


def _rows(made_of, before, after, **options):
  canaries = grade_canaries.make(_TEXTS, num=2, seed=0)
  canaries = [
    c._replace(made_of=i) for c, i in zip(canaries, made_of, strict=True)
  ]
  return grade_canaries.rows(canaries, before, after, **options)


def test_what_answers_nothing_passes_below_the_answer_or_with_the_lowest():
  made_of, before = [0, 1, 0, 1, 0, 3], [3.0, 0.0, 3.0, None]
  after = [0.0, 0.0, 3.0, 0.0, None, 3.0]
  null, injected, padded = _rows(made_of, before, after, lowest=0.0)
  assert null == {
    "canary": "null",
    "asked": 2,
    "without_verdict": 0,
    "undecided": 0,
    "mean change": -1.5,
    "passed": 1.0,
  }
  # As good as the answer is too good.
  assert (injected["mean change"], injected["passed"]) == (0.0, 0.5)
  # One has no grade itself, the other is made of an answer without one.
  assert (padded["without_verdict"], padded["passed"]) == (2, None)
  # Above the lowest that there is, none has passed.
  null, *_ = _rows(made_of, [3.0, 1.0, 3.0, 3.0], [3.0, 1.0] * 3, lowest=0.0)
  assert null["passed"] == 0


def test_padding_decides_nothing_where_the_grade_cannot_rise():
  made_of, before = [0, 1, 0, 1, 0, 1], [5.0, 3.0, 3.0, 3.0]
  *_, padded = _rows(made_of, before, [0.0, 0.0, 0.0, 0.0, 5.0, 4.0])
  assert (padded["undecided"], padded["passed"]) == (1, 0)
  *_, padded = _rows(made_of, before, [0.0, 0.0, 0.0, 0.0, 5.0, 3.0])
  assert (padded["undecided"], padded["passed"]) == (1, 1)


@pytest.mark.parametrize("lowest", [0.0, None])
def test_a_judge_that_always_says_the_same_is_found_out(lowest):
  rows = _rows([0, 1, 2] * 2, [5.0] * 4, [5.0] * 6, lowest=lowest)
  assert [row["passed"] for row in rows] == [0, 0, None]
  assert rows[2]["undecided"] == 2
  null, injected = grade_canaries.notes(rows)
  assert "null answers 100% were graded no lower" in null
  assert "injected answers 100%" in injected


def test_a_judge_that_obeys_is_found_out_by_a_request_alone():
  """Whatever else it does well."""
  rows = _rows([0, 1] * 3, [3.0, 5.0, 1.0, 1.0], [0, 0, 5.0, 5.0, 3.0, 5.0])
  assert [row["passed"] for row in rows] == [1, 0, 1]
  (note,) = grade_canaries.notes(rows)
  assert "a request to the judge alone" in note


def test_comparisons_that_were_lost_leave_nothing_below_them():
  """1, 1/2 and 0, of which no lowest is given."""
  before, after = [0.0, 1.0, 0.5, 0.5], [0.0, 0.5, 0.0, 1.0, 0.5, 1.0]
  null, injected, padded = _rows([0, 1, 0, 1, 0, 2], before, after)
  assert (null["passed"], injected["passed"], padded["passed"]) == (1, 0.5, 0)
