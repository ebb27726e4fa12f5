# SPDX-License-Identifier: Apache-2.0
"""Rows of every kind to groups: answers, features, and what is left out."""

from typing import Any

import numpy as np
import pytest
import tiny_groups
from tiny_letters import Letters

from ramjax.data import group_rows
from ramjax.data.rows import (
  JudgedRow,
  Message,
  PreferenceRow,
  RankedRow,
  RatedRow,
  UnpairedRow,
)

ASK = (Message("user", "hi"),)


def _said(text: str) -> tuple[Message, ...]:
  return (Message("assistant", text, True),)


def _group(row, max_length=99, tokenizer: Any = None):
  return group_rows.to_group(
    row,
    template="plain",
    tokenizer=tokenizer or Letters(),
    max_length=max_length,
  )


def _read(group):
  letters = Letters()
  return (
    [letters.read(prompt) for prompt in group.prompts],
    [letters.read(answer) for answer in group.responses],
    {name: values.tolist() for name, values in group.features.items()},
  )


def test_every_kind_of_row_by_hand():
  nan = float("nan")
  pair = PreferenceRow("p", "aa", "b", margin=1.5, preference_prob=0.75)
  features = {"margins": [1.5], "preference_probs": [0.75]}
  assert _read(_group(pair)) == (["[p"], ["aa]", "b]"], features)
  found = _read(_group(PreferenceRow("p", "aa", "b")))
  assert found[2] == {"margins": [0.0], "preference_probs": [1.0]}
  ranked = RankedRow("p", ("a", "b", "cc"))
  assert _read(_group(ranked)) == (["[p"], ["a]", "b]", "cc]"], {})
  rated = RatedRow("p", "a", (4.0, nan))
  prompts, answers, features = _read(_group(rated))
  assert (prompts, answers) == (["[p"], ["a]"])
  np.testing.assert_array_equal(features["targets"], [4.0, nan])
  for label in (True, False):
    unpaired = UnpairedRow(ASK, _said("a"), label)
    prompt = "[User: hi\nAssistant:"
    assert _read(_group(unpaired)) == ([prompt], [" a]"], {"labels": [label]})


def test_a_judged_answer_follows_two_prompts():
  row = JudgedRow(ASK, _said("yes"), "It is no.", False)
  prompts, answers, features = _read(_group(row))
  judged = "[User: hi\n\n### Judgement of the answer:\nIt is no.\nAssistant:"
  assert prompts == [judged, "[User: hi\nAssistant:"]
  assert answers == [" yes]", " yes]"] and features == {"labels": [0.0]}
  row = JudgedRow("hi", "yes", "", True)
  assert _read(_group(row)) == (["[hi"] * 2, ["yes]"] * 2, {"labels": [1.0]})


def test_a_judged_answer_is_cut_alike_after_both_prompts():
  row = JudgedRow(ASK, _said("a" * 30), "It is no.", False)
  for max_length in (30, 60, 80):
    group = _group(row, max_length)
    one, other = group.responses
    np.testing.assert_array_equal(one, other)
    assert 0 < len(one) <= 32
    full = _group(row, 999)
    assert group.num_truncated == full.num_tokens - group.num_tokens


class _FirstWords(Letters):
  """Writes a space before what starts a text, as sentencepiece does."""

  def encode(self, text, *, at_start):
    encoded = super().encode(text, at_start=at_start)
    return [32, *encoded] if at_start and text else encoded


def test_an_answer_that_a_judgement_changes_is_refused():
  row = JudgedRow("", "yes", "It is no.", False)
  with pytest.raises(ValueError, match=r"prompt=''.* Give the row a prompt"):
    _group(row, tokenizer=_FirstWords())
  assert _group(JudgedRow("", "yes", "", True), tokenizer=_FirstWords())
  assert _group(
    JudgedRow("p", "yes", "It is no.", False), tokenizer=_FirstWords()
  )


def _tokenize(rows, max_length=99):
  return group_rows.tokenize_group_rows(
    rows,
    template="plain",
    tokenizer=Letters(),  # pyright: ignore[reportArgumentType]
    max_length=max_length,
    label="x",
  )


def test_rows_are_counted_by_hand():
  rows = [
    PreferenceRow("p", "aa", "b"),  # 2 + 3 and 2 + 2.
    PreferenceRow("pqrstu", "aaa", "bb"),  # 7 + 4 and 7 + 3, cut to 4 and 4.
  ]
  groups, kept, counts = _tokenize(rows, max_length=8)
  assert kept == [0, 1] and len(groups) == 2
  assert counts == {
    "tokens": 9 + (4 + 4) + (4 + 3),
    "supervised_tokens": 5 + 7,
    "rows_truncated": 1,
    "tokens_truncated": 6,
    "rows_identical": 0,
  }


def test_answers_that_are_the_same_once_cut_are_left_out_and_counted():
  rows = [
    PreferenceRow("p", "aaaab", "aaaac"),
    PreferenceRow("p", "ab", "ac"),
    RankedRow("p", ("x", "aaaab", "aaaac")),
    UnpairedRow("p", "aaaab", True),
    JudgedRow("p", "aaaab", "", True),
  ]
  groups, kept, counts = _tokenize(rows, max_length=5)
  assert kept == [1, 3, 4] and len(groups) == 3
  assert counts["rows_identical"] == 2 and counts["rows_truncated"] == 4
  assert counts["tokens"] == sum(group.num_tokens for group in groups)
  # What was not cut is not the same.
  groups, kept, counts = _tokenize(rows, max_length=99)
  assert kept == [0, 1, 2, 3, 4] and counts["rows_identical"] == 0


def test_an_answer_that_goes_on_is_not_the_same():
  group = tiny_groups.random_group(2, (3, 4))
  shorter = group._replace(
    responses=(group.responses[1][:3], group.responses[1])
  )
  assert not group_rows.is_identical(shorter)
  same = group._replace(responses=(group.responses[1], group.responses[1]))
  assert group_rows.is_identical(same)
  # After another prompt, the same answer says something.
  two = same._replace(prompts=(*same.prompts, same.prompts[0][:1]))
  assert not group_rows.is_identical(two)


def _one(prompt: int, answer: int, num_answer: int = 2, num_prompt: int = 3):
  """One answer; prompt and answer are of one number each."""
  group = tiny_groups.random_group(num_prompt, (num_answer,), labels=[answer])
  return group._replace(
    prompts=(np.full(num_prompt, prompt, np.int32),),
    responses=(np.full(num_answer, answer, np.int32),),
    response_masks=(np.ones(num_answer, bool),),
  )


def test_a_mismatched_answer_is_that_of_the_next_other_prompt():
  groups = [_one(1, 10), _one(1, 11), _one(2, 12), _one(3, 13), _one(1, 14)]
  found = group_rows.with_mismatched(groups, groups, max_length=99)
  own = [int(group.responses[0][0]) for group in found]
  others = [int(group.responses[1][0]) for group in found]
  assert own == [10, 11, 12, 13, 14] and others == [12, 12, 13, 14, 12]
  for group, before in zip(found, groups, strict=True):
    assert group.prompts is before.prompts and group.size == 2
    assert group.features is before.features
    assert before.size == 1


def test_a_mismatched_answer_is_cut_to_fit():
  groups = [_one(1, 10, num_prompt=4), _one(2, 11, num_answer=5)]
  found = group_rows.with_mismatched(groups, groups, max_length=7)
  assert [len(answer) for answer in found[0].responses] == [2, 3]
  assert [len(mask) for mask in found[0].response_masks] == [2, 3]


@pytest.mark.parametrize("num", [1, 3])
def test_one_prompt_alone_has_no_mismatched_answer(num):
  groups = [_one(1, i) for i in range(num)]
  with pytest.raises(ValueError, match="rows have the same prompt"):
    group_rows.with_mismatched(groups, groups, 99)


def test_the_other_answer_may_come_from_a_larger_pool():
  pool = [_one(1, 10), _one(2, 11)]
  found = group_rows.with_mismatched([_one(1, 12)], pool, 99)
  assert [int(answer[0]) for answer in found[0].responses] == [12, 11]
