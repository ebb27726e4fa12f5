# SPDX-License-Identifier: Apache-2.0
"""The one form of data that audits look at."""

import numpy as np
import pytest
import tiny_audit

from ramjax.data import audit_data, tokenizers
from ramjax.data.findings import Place
from ramjax.data.rows import PreferenceRow, TextRow, UnpairedRow
from ramjax.data.tokenize_groups import Group


@pytest.fixture(scope="module")
def ours(tokenizer_paths):
  return tokenizers.load_tokenizer(tokenizer_paths["ours"])


def _group(num_answers, num_prompts, **features):
  return Group(
    prompts=tuple(np.array([1, 5 + k]) for k in range(num_prompts)),
    responses=tuple(np.array([20 + k, 2]) for k in range(num_answers)),
    response_masks=(np.array([True, True]),) * num_answers,
    features={name: np.zeros(1) for name in features},
    num_truncated=0,
  )


def test_answers_follow_the_shared_prompt():
  first, second = audit_data.answers_of_example(_group(2, 1, margins=0))
  assert first.tokens.tolist() == [1, 5, 20, 2]
  assert second.tokens.tolist() == [1, 5, 21, 2]
  assert second.mask.tolist() == [False, False, True, True]


def test_each_answer_follows_its_own_prompt():
  _, second = audit_data.answers_of_example(_group(2, 2, labels=0))
  assert second.tokens.tolist() == [1, 6, 21, 2]


def test_an_answer_lent_from_another_prompt_is_left_out():
  assert len(audit_data.answers_of_example(_group(2, 1, labels=0))) == 1


def test_row_numbers_are_known_where_each_row_has_one_example(ours):
  rows = [TextRow("a", "b"), TextRow("c", "d")]
  data = tiny_audit.of_rows(rows, ours)
  assert [place for place, _ in data.answered] == [
    Place("main", 0),
    Place("main", 1),
  ]


def _pairs_of_which_the_first_is_dropped():
  return [PreferenceRow("a", "x", "x"), PreferenceRow("a", "x", "y")]


def test_examples_have_their_own_numbers_where_rows_were_left_out(ours):
  data = tiny_audit.of_rows(_pairs_of_which_the_first_is_dropped(), ours)
  assert {str(place) for place, _ in data.answered} == {"main example 1"}


def test_given_row_numbers_are_used(ours):
  loaded = tiny_audit.run_data(
    _pairs_of_which_the_first_is_dropped(),
    ours,
    template="plain",
    max_length=99,
  )
  data = audit_data.of_run(
    loaded, template="plain", max_length=99, pack=True, row_ids=[[1]]
  )
  assert {str(place) for place, _ in data.answered} == {"main row 2"}


def test_prompts_are_compared_without_case_and_white_space():
  one = audit_data.prompt_key(tiny_audit.chat("Add  2\n and 2. ", "4"))
  other = audit_data.prompt_key(tiny_audit.chat("add 2 and 2.", "5"))
  assert one == other


def test_texts_of_a_row():
  row = UnpairedRow("p", "a", True)
  assert audit_data.all_texts(row) == ["p", "a"]
  assert audit_data.text_pairs(row) == [("p", "a")]
  chat = tiny_audit.chat("p", "a")
  assert audit_data.all_texts(chat) == ["p", "a"]
  assert audit_data.text_pairs(chat) == []
  assert audit_data.answer_texts(chat) == ["a"]
  assert audit_data.text_pairs(TextRow("", "a")) == []
