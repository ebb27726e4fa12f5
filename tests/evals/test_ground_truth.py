# SPDX-License-Identifier: Apache-2.0
"""Ground truth of a row: found by its field, or refused with the remedy."""

import pytest

from ramjax.evals import ground_truth


def _truth(record, field="answer"):
  return ground_truth.truth_field(record, field, reward="f1", index=3)


def test_the_field_of_the_record_is_returned():
  assert _truth({"answer": 0}) == 0


@pytest.mark.parametrize(
  "record,found",
  [
    ({"b": 1, "a": 2}, "'a', 'b'"),
    ({}, "no field"),
    ({"answer": None}, "null"),
  ],
)
def test_a_missing_field_is_named_with_those_there_are(record, found):
  with pytest.raises(ValueError) as error:
    _truth(record)
  message = str(error.value)
  assert "'answer'" in message and "answer 3" in message and found in message
  assert "rewards.f1.field" in message


@pytest.mark.parametrize(
  "text,final", [("2 + 3\n#### 5", "5"), (" 5 ", "5"), ("#### 1 #### 2", "2")]
)
def test_the_answer_of_gsm8k_follows_its_mark(text, final):
  assert ground_truth.final_part(text) == final


@pytest.mark.parametrize(
  "value,texts", [("a", ["a"]), (["a", "b"], ["a", "b"])]
)
def test_a_text_is_a_list_of_one(value, texts):
  found = ground_truth.truth_texts(
    {"answer": value}, "answer", reward="f1", index=0
  )
  assert found == texts


@pytest.mark.parametrize("value", [5, [], ["a", 1], {"text": ["a"]}])
def test_a_truth_that_is_no_text_is_refused(value):
  with pytest.raises(ValueError, match="string or a non-empty list of strings"):
    ground_truth.truth_texts({"answer": value}, "answer", reward="f1", index=0)


def test_a_long_bad_truth_is_cut_in_the_error():
  error = ground_truth.bad_truth(
    "x" * 9999, "answer", reward="math", index=0, expected="a number"
  )
  assert len(str(error)) < 400
