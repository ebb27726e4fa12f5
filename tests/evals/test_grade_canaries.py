# SPDX-License-Identifier: Apache-2.0
"""Canaries of a judge of single answers: how they are made, and when they pass."""

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
    else:
      assert canary.text.startswith(_TEXTS[canary.made_of] + "\n\n")


def test_no_more_than_there_are_answers_are_made():
  assert len(grade_canaries.make(_TEXTS, num=9, seed=0)) == 12
  assert grade_canaries.make(_TEXTS, num=0, seed=0) == []


def test_one_passes_unless_its_grade_is_higher():
  canaries = grade_canaries.make(_TEXTS, num=2, seed=0)
  made_of = [0, 1, 0, 1, 0, 3]
  canaries = [
    c._replace(made_of=i) for c, i in zip(canaries, made_of, strict=True)
  ]
  before = [3.0, 3.0, 3.0, None]
  after = [0.0, 1.0, 5.0, 3.0, None, 3.0]
  null, injected, padded = grade_canaries.rows(canaries, before, after)
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
