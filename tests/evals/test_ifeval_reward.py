# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.evals.ifeval_reward."""

import pytest

from ramjax.data.rows import Message
from ramjax.evals.answers import Answer
from ramjax.evals.ifeval_reward import ifeval_reward

_RECORD = {
  "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
  "kwargs": [{}, {}],
}


def _answer(response, record=_RECORD):
  prompt = (Message("user", "Say something."),)
  return Answer(prompt, response, record, finished=True, num_tokens=3)


def test_reward_is_for_all_instructions():
  answers = [_answer(text) for text in ('"tea"', '"tea, milk"', "tea, milk")]
  assert ifeval_reward(answers) == [1.0, 0.0, 0.0]


def test_share_pays_for_each_instruction():
  answers = [_answer(text) for text in ('"tea"', '"tea, milk"', "tea, milk")]
  assert ifeval_reward(answers, share=True) == [1.0, 0.5, 0.0]


def test_loose_mode_forgives_a_first_line():
  answers = [_answer('Sure, here:\n"tea"')]
  assert ifeval_reward(answers, mode="strict") == [0.0]
  assert ifeval_reward(answers, mode="loose") == [1.0]
  assert ifeval_reward(answers, mode="strict", share=True) == [0.0]


def test_no_answers_have_no_rewards_but_a_checked_mode():
  assert ifeval_reward([]) == []
  with pytest.raises(ValueError, match=r"rewards\.ifeval\.mode='lax'"):
    ifeval_reward([], mode="lax")


def test_unusable_row_is_named():
  record = _RECORD | {"kwargs": [{}]}
  with pytest.raises(ValueError, match=r"row of answer 1 .*kwargs has 1"):
    ifeval_reward([_answer("a"), _answer("a", record)])
