# SPDX-License-Identifier: Apache-2.0
"""Ranked, rated and judged rows: what they mean, and which are refused."""

import copy
import math

import pytest

from ramjax.data import parse_graded_rows
from ramjax.data.rows import JudgedRow, Message, RankedRow, RatedRow, RowError

ASK = {"role": "user", "content": "2+2?"}
ANSWERS = [{"role": "assistant", "content": text} for text in ("4", "5", "6")]

asked = (Message("user", "2+2?"),)
answers = [(Message("assistant", text, True),) for text in ("4", "5", "6")]


def test_completions_without_scores_are_in_order():
  record = {"prompt": "Q", "completions": ["c", "a", "b"], "other": 1}
  row = parse_graded_rows.parse_ranked(record)
  assert row == RankedRow("Q", ("c", "a", "b"))


def test_completions_are_sorted_by_their_scores():
  record = {"prompt": "Q", "completions": ["a", "b", "c"]}
  row = parse_graded_rows.parse_ranked({**record, "scores": [-2, 0.5, 0.25]})
  assert row == RankedRow("Q", ("b", "c", "a"))


def test_ranked_conversations_have_a_list_of_messages_each():
  record = {"prompt": [ASK], "completions": [[turn] for turn in ANSWERS]}
  row = parse_graded_rows.parse_ranked({**record, "scores": [1, 2, 3]})
  assert row == RankedRow(asked, (answers[2], answers[1], answers[0]))


def _ranked(completions, **extra):
  return {"prompt": "Q", "completions": completions, **extra}


@pytest.mark.parametrize(
  ("record", "reason"),
  [
    (None, "the record is null, not an object"),
    ({"prompt": "Q"}, "fits no row format .*with the best first"),
    ({"completions": ["a", "b"]}, "fits no row format"),
    (_ranked("ab"), "completions is a string, not a list of at least two"),
    (_ranked({"a": 1, "b": 2}), "completions is an object, not a list"),
    (_ranked([]), "completions is a list of 0, not a list of at least two"),
    (_ranked(["a"]), "completions is a list of 1, not a list of at least two"),
    (_ranked(["a", ""]), r"completions\[1\] is empty"),
    (_ranked(["a", 7]), r"completions\[1\] is the number 7"),
    (_ranked(["a", [ANSWERS[0]]]), "must all be strings"),
    (_ranked(ANSWERS), "must all be strings"),
    (_ranked(["a", "b", "a"]), "holds the same answer twice"),
    (_ranked(["a", "b"], scores=None), "scores is null, and there are 2"),
    (_ranked(["a", "b"], scores=[1]), "scores is a list of 1, and there are 2"),
    (_ranked(["a", "b"], scores=[1, True]), r"scores\[1\] is a boolean"),
    (_ranked(["a", "b"], scores=[1, "2"]), r"scores\[1\] is a string"),
    (_ranked(["a", "b"], scores=[math.nan, 1]), r"scores\[0\] is the number n"),
    (_ranked(["a", "b"], scores=[1, None]), r"scores\[1\] is null"),
    (_ranked(["a", "b", "c"], scores=[2, 1, 2.0]), "scores holds 2 more than"),
  ],
)
def test_records_that_are_no_ranked_row_are_refused(record, reason):
  with pytest.raises(RowError, match=reason):
    parse_graded_rows.parse_ranked(record)


def test_an_error_names_few_of_many_completions():
  with pytest.raises(RowError) as caught:
    parse_graded_rows.parse_ranked(_ranked(["a", 1] * 10_000))
  assert len(str(caught.value)) < 1000


def test_ratings_are_those_of_the_attributes_in_their_order():
  record = {"prompt": "Q", "completion": "a", "tone": 3, "depth": 0.5, "x": 9}
  row = parse_graded_rows.parse_rated(record, ("depth", "tone"))
  assert row == RatedRow("Q", "a", (0.5, 3.0))


def test_what_was_not_rated_is_nan():
  record = {"prompt": "Q", "completion": "a", "tone": None, "depth": 1}
  row = parse_graded_rows.parse_rated(record, ("tone", "depth", "wit"))
  assert math.isnan(row.ratings[0]) and math.isnan(row.ratings[2])
  assert row.ratings[1] == 1


def test_records_of_helpsteer_are_rated_rows():
  record = {
    "prompt": "Q",
    "response": "a",
    "helpfulness": 3,
    "correctness": 4,
    "coherence": 4,
    "complexity": 2,
    "verbosity": 0,
  }
  row = parse_graded_rows.parse_rated(record)
  assert row == RatedRow("Q", "a", (3.0, 4.0, 4.0, 2.0, 0.0))


def test_rated_conversations_keep_their_turns():
  record = {"prompt": [ASK], "completion": [ANSWERS[0]], "helpfulness": 4}
  row = parse_graded_rows.parse_rated(record, ["helpfulness"])
  assert row == RatedRow(asked, answers[0], (4.0,))


@pytest.mark.parametrize(
  ("record", "reason"),
  [
    ([], "the record is a list, not an object"),
    ({"prompt": "Q", "wit": 1}, "fits no row format .*ATTRIBUTE"),
    ({"completion": "a", "wit": 1}, "fits no row format"),
    ({"prompt": "Q", "completion": "a"}, "no rating was found under wit, tone"),
    (
      {"prompt": "Q", "completion": "a", "wit": None, "tone": None},
      "no rating was found",
    ),
    ({"prompt": "Q", "completion": "a", "wit": "4"}, "wit is a string"),
    ({"prompt": "Q", "completion": "a", "wit": False}, "wit is a boolean"),
    ({"prompt": "Q", "completion": "a", "wit": math.nan}, "number nan"),
    ({"prompt": "Q", "completion": "a", "wit": math.inf}, "wit is a number"),
    ({"prompt": "Q", "response": " ", "wit": 1}, "response is blank"),
    ({"prompt": "Q", "response": None, "wit": 1}, "response is null"),
  ],
)
def test_records_that_are_no_rated_row_are_refused(record, reason):
  with pytest.raises(RowError, match=reason):
    parse_graded_rows.parse_rated(record, ("wit", "tone"))


@pytest.mark.parametrize(
  ("extra", "judgement", "label"),
  [
    ({}, "", True),
    ({"judgement": None}, "", True),
    ({"judgement": None, "label": True}, "", True),
    ({"judgement": " It is 4.\n"}, " It is 4.\n", False),
    ({"judgment": "It is 4."}, "It is 4.", False),
    ({"judgement": "It is 4.", "label": False}, "It is 4.", False),
    ({"judgement": "Well done.", "label": True}, "Well done.", True),
  ],
)
def test_a_judgement_says_what_is_wrong_unless_the_label_is_true(
  extra, judgement, label
):
  record = {"prompt": "Q", "completion": "a", **extra}
  row = parse_graded_rows.parse_judged(record)
  assert row == JudgedRow("Q", "a", judgement, label)
  record = {"prompt": [ASK], "completion": [ANSWERS[1]], **extra}
  row = parse_graded_rows.parse_judged(record)
  assert row == JudgedRow(asked, answers[1], judgement, label)


def _judged(**extra):
  return {"prompt": "Q", "completion": "a", **extra}


@pytest.mark.parametrize(
  ("record", "reason"),
  [
    ("text", "the record is a string, not an object"),
    ({"prompt": "Q", "judgement": "bad"}, "fits no row format .*a label of"),
    (_judged(judgement=""), "judgement is empty: write null"),
    (_judged(judgement=" \n"), "judgement is blank: write null"),
    (_judged(judgment=""), "judgment is empty"),
    (_judged(judgement=3), "judgement is the number 3, not a string"),
    (_judged(judgement="\ud800"), "judgement holds a lone surrogate"),
    (_judged(judgement="bad", label=0), "label is the number 0, not a bool"),
    (_judged(label=None), "label is null, not a boolean"),
    (_judged(label=False), "label is false and there is no judgement"),
    (_judged(completion=""), "completion is empty"),
  ],
)
def test_records_that_are_no_judged_row_are_refused(record, reason):
  with pytest.raises(RowError, match=reason):
    parse_graded_rows.parse_judged(record)


def test_parsing_leaves_the_record_as_it_was():
  record = {"prompt": "Q", "completions": ["a", "b"], "scores": [1, 2]}
  before = copy.deepcopy(record)
  parse_graded_rows.parse_ranked(record)
  assert record == before
