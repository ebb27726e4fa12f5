# SPDX-License-Identifier: Apache-2.0
"""Prompts out of records of every format; what stays in the record."""

import pytest

from ramjax.data import parse_prompts
from ramjax.data.rows import Message, RowError

_USER = {"role": "user", "content": "two and two"}
_SYSTEM = {"role": "system", "content": "be brief"}
_ANSWER = {"role": "assistant", "content": "4"}
_TURN = Message("user", "two and two")


@pytest.mark.parametrize(
  "record,prompt",
  [
    ({"prompt": "two and"}, "two and"),
    ({"prompt": "two and", "completion": "two"}, "two and"),
    ({"prompt": [_USER]}, (_TURN,)),
    ({"prompt": [_SYSTEM, _USER]}, (Message("system", "be brief"), _TURN)),
    (
      {"prompt": [_USER], "chosen": [_ANSWER], "rejected": [_USER]},
      (_TURN,),
    ),
    ({"messages": [_USER, _ANSWER]}, (_TURN,)),
    ({"messages": [_USER]}, (_TURN,)),
    (
      {"messages": [_USER, _ANSWER, _USER, _ANSWER]},
      (_TURN, Message("assistant", "4"), _TURN),
    ),
    ({"question": "two and two", "answer": "#### 4"}, (_TURN,)),
    ({"instruction": "two and two", "output": "4"}, (_TURN,)),
    (
      {"instruction": "add", "input": "2 2"},
      (Message("user", "add\n\n### Input:\n2 2"),),
    ),
    (
      {
        "chosen": "\n\nHuman: hi\n\nAssistant: hello",
        "rejected": "\n\nHuman: hi\n\nAssistant: no",
      },
      "\n\nHuman: hi\n\nAssistant:",
    ),
    (
      {
        "chosen": [_USER, _ANSWER],
        "rejected": [_USER, {**_ANSWER, "content": "5"}],
      },
      (_TURN,),
    ),
    # UltraFeedback: the string is one of their turns.
    (
      {
        "prompt": "two and two",
        "chosen": [_USER, _ANSWER],
        "rejected": [_USER, {**_ANSWER, "content": "5"}],
        "messages": [_USER, _ANSWER],
      },
      (_TURN,),
    ),
    (
      {"prompt": "two and", "chosen": "two", "rejected": "three"},
      "two and",
    ),
  ],
  ids=str,
)
def test_the_prompt_of_each_format(record, prompt):
  row = parse_prompts.parse_prompt_row(record)
  assert row.prompt == prompt
  assert row.record == record
  if not isinstance(row.prompt, str):
    assert not any(message.supervised for message in row.prompt)


@pytest.mark.parametrize(
  "record,message",
  [
    ([], "not an object"),
    ({"text": "two and two"}, r"keys found: 'text'.*GSM8K"),
    ({"prompt": 4}, "prompt is the number 4"),
    ({"prompt": [_USER, _ANSWER]}, "must end in the user turn"),
    ({"prompt": "\ud800"}, "lone surrogate"),
    ({"messages": [_SYSTEM]}, "messages has no user turn"),
    ({"messages": "two"}, "messages is a string"),
    ({"question": None}, "question is null"),
    ({"instruction": "add", "input": 3}, "input is the number 3"),
    ({"chosen": "a", "rejected": "b"}, "do not begin alike"),
  ],
  ids=str,
)
def test_a_record_without_a_prompt_is_refused(record, message):
  with pytest.raises(RowError, match=message):
    parse_prompts.parse_prompt_row(record)
