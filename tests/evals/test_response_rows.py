# SPDX-License-Identifier: Apache-2.0
"""Rows of answers: what counts in them, and what is cut."""

import numpy as np
import pytest
import tiny_groups
import tiny_letters

from ramjax.data.rows import Message
from ramjax.data.tokenize_groups import tokenize_group
from ramjax.evals import response_rows
from ramjax.evals.padded_rows import Row
from ramjax.evals.response_rows import Conversation

_ASKED = (
  Message("user", "hallo"),
  Message("assistant", "oh"),
  Message("user", "well?"),
)


def _tokenized(conversation, max_length=1000):
  (row,), num_cut, num_responses_cut = response_rows.conversation_rows(
    [conversation],
    template="plain",
    tokenizer=tiny_letters.Letters(),
    max_length=max_length,
  )
  assert num_responses_cut == 0
  return row, num_cut


def _answers(max_length, *answers):
  return response_rows.answer_rows(
    [[Conversation(_ASKED, answer) for answer in answers]],
    template="plain",
    tokenizer=tiny_letters.Letters(),
    max_length=max_length,
  )


def test_an_answer_follows_its_prompt_as_in_training():
  answer = (Message("assistant", "no.", True),)
  group = tokenize_group(
    _ASKED,
    [answer],
    features={},
    template="plain",
    tokenizer=tiny_letters.Letters(),
    max_length=1000,
  )
  (expected,) = response_rows.group_rows(group)
  row, num_cut = _tokenized(Conversation(_ASKED, "no."))
  np.testing.assert_array_equal(row.tokens, expected.tokens)
  np.testing.assert_array_equal(row.mask, expected.mask)
  assert num_cut == 0
  # A space, the letters, and EOS: of earlier answers nothing counts.
  assert response_rows.num_scored(row) == len(" no.") + 1
  assert row.mask[-5:].all() and not row.mask[:-5].any()


def test_of_a_conversation_that_is_too_long_the_end_is_kept():
  whole, _ = _tokenized(Conversation(_ASKED, "no."))
  row, num_cut = _tokenized(Conversation(_ASKED, "no."), len(whole.tokens) - 1)
  assert num_cut == 1
  np.testing.assert_array_equal(row.tokens, whole.tokens[1:])
  np.testing.assert_array_equal(row.mask, whole.mask[1:])
  exact, num_cut = _tokenized(Conversation(_ASKED, "no."), len(whole.tokens))
  assert num_cut == 0 and len(exact.tokens) == len(whole.tokens)


def test_an_empty_answer_is_its_end():
  row, _ = _tokenized(Conversation(_ASKED, ""))
  assert row.tokens[-1] == tiny_letters.Letters().eos_id
  assert row.mask[-1]


def test_the_prompt_gives_way_to_answers_that_are_to_be_predicted():
  wholes = [_tokenized(Conversation(_ASKED, x))[0] for x in ("no.", "no, oh!")]
  lengths = [len(row.tokens) for row in wholes]
  rows, num_cut, num_responses_cut = _answers(lengths[1], "no.", "no, oh!")
  assert (num_cut, num_responses_cut) == (0, 0)
  for row, whole in zip(rows, wholes, strict=True):
    np.testing.assert_array_equal(row.tokens, whole.tokens)
    np.testing.assert_array_equal(row.mask, whole.mask)
  # Of both the prompt loses four tokens, though one would have room.
  found = _answers(lengths[1] - 4, "no.", "no, oh!")
  assert (found.num_cut, found.num_responses_cut) == (2, 0)
  for row, whole in zip(found.rows, wholes, strict=True):
    np.testing.assert_array_equal(row.tokens, whole.tokens[4:])
    np.testing.assert_array_equal(row.mask, whole.mask[4:])


def test_an_answer_without_room_loses_its_end_behind_one_token_of_the_prompt():
  whole, _ = _tokenized(Conversation(_ASKED, "no, oh!"))
  start = int(np.argmax(whole.mask))
  num_answer = len(whole.tokens) - start
  found = _answers(num_answer + 1, "no, oh!", "no.")
  assert (found.num_cut, found.num_responses_cut) == (2, 0)
  np.testing.assert_array_equal(found.rows[0].tokens, whole.tokens[start - 1 :])
  found = _answers(num_answer, "no, oh!", "no.")
  assert (found.num_cut, found.num_responses_cut) == (2, 1)
  np.testing.assert_array_equal(
    found.rows[0].tokens, whole.tokens[start - 1 : -1]
  )
  assert not found.rows[0].mask[0] and found.rows[0].mask[1:].all()
  with pytest.raises(ValueError, match="max_length=1 leaves no token"):
    _answers(1, "no.")


@pytest.mark.parametrize("size", [1, 3])
def test_a_group_has_a_row_for_each_answer(size):
  for group in tiny_groups.groups_of(size):
    rows = response_rows.group_rows(group)
    assert len(rows) == size
    start = len(group.prompts[0])
    for k, row in enumerate(rows):
      np.testing.assert_array_equal(row.tokens[:start], group.prompts[0])
      np.testing.assert_array_equal(row.tokens[start:], group.responses[k])
      np.testing.assert_array_equal(row.mask[start:], group.response_masks[k])
      assert not row.mask[:start].any()


def test_answers_may_follow_prompts_of_their_own():
  (group,) = (g for g in tiny_groups.groups_of(2) if len(g.prompts[0]) == 9)
  other = group._replace(prompts=(group.prompts[0], group.prompts[0][:4]))
  assert [len(row.tokens) for row in response_rows.group_rows(other)] == [
    9 + 2,
    4 + 1,
  ]


def test_the_first_token_of_a_row_is_predicted_from_nothing():
  row = Row(np.array([5, 6], np.int32), np.array([True, True]))
  assert response_rows.num_scored(row) == 1
