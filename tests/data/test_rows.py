# SPDX-License-Identifier: Apache-2.0
"""What each row format means, and which records are refused."""

import copy
import dataclasses
import json
from typing import Any

import pytest

from ramjax.data import parse_rows
from ramjax.data.rows import (
  ChatRow,
  Message,
  PreferenceRow,
  RowError,
  TextRow,
  UnpairedRow,
)

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}
THANKS = {"role": "user", "content": "Thanks"}
BYE = {"role": "assistant", "content": "Bye"}

asked = Message("user", "2+2?")
answered = Message("assistant", "4", supervised=True)
wronged = Message("assistant", "5", supervised=True)


def test_every_assistant_turn_of_messages_is_supervised():
  row = parse_rows.parse_sft({"messages": [SYSTEM, ASK, ANSWER, THANKS, BYE]})
  assert row == ChatRow(
    (
      Message("system", "Be brief."),
      asked,
      answered,
      Message("user", "Thanks"),
      Message("assistant", "Bye", supervised=True),
    )
  )


def test_only_the_assistant_turns_of_a_completion_are_supervised():
  row = parse_rows.parse_sft(
    {"prompt": [ASK, ANSWER, THANKS], "completion": [BYE, ASK, WRONG]}
  )
  assert isinstance(row, ChatRow)
  assert [turn.supervised for turn in row.messages] == [
    False,
    False,
    False,
    True,
    False,
    True,
  ]


def test_string_prompts_and_texts_stay_raw():
  record = {"prompt": " 2+2?\n", "completion": " 4\n"}
  assert parse_rows.parse_sft(record) == TextRow(" 2+2?\n", " 4\n")
  assert parse_rows.parse_sft({"text": "2+2=4"}) == TextRow("", "2+2=4")


@pytest.mark.parametrize(
  ("given", "content"),
  [("", "Add."), ("2, 2", "Add.\n\n### Input:\n2, 2")],
)
def test_alpaca_puts_a_given_input_below_the_instruction(given, content):
  # The copy of the whole in `text`, as the published files have it, is extra.
  record = {"instruction": "Add.", "input": given, "output": "4", "text": "x"}
  assert parse_rows.parse_sft(record) == ChatRow(
    (Message("user", content), answered)
  )


def test_extra_keys_of_a_record_are_ignored():
  record = {"id": 7, "source": None, "messages": [ASK, ANSWER], "prompt": "2+2"}
  assert parse_rows.parse_sft(record) == ChatRow((asked, answered))


def test_explicit_prompts_give_preference_rows():
  texts = {"prompt": "Q", "chosen": "a", "rejected": "b"}
  assert parse_rows.parse_preference(texts) == PreferenceRow("Q", "a", "b")
  turns = {"prompt": [ASK], "chosen": [ANSWER], "rejected": [WRONG]}
  assert parse_rows.parse_preference(turns) == PreferenceRow(
    (asked,), (answered,), (wronged,)
  )


def test_implicit_prompts_are_split_where_conversations_differ():
  record = {
    "chosen": [ASK, ANSWER, THANKS, BYE],
    "rejected": [ASK, ANSWER, THANKS, WRONG, ASK, ANSWER],
  }
  assert parse_rows.parse_preference(record) == PreferenceRow(
    # Shared turns are the prompt, where even an assistant turn is no target.
    (asked, Message("assistant", "4"), Message("user", "Thanks")),
    (Message("assistant", "Bye", True),),
    (wronged, asked, answered),
  )


def test_a_string_prompt_beside_conversations_repeats_a_shared_user_turn():
  record = {
    "prompt": "2+2?",
    "chosen": [ASK, ANSWER],
    "rejected": [ASK, WRONG],
  }
  assert parse_rows.parse_preference(record).prompt == (asked,)
  with pytest.raises(RowError, match="repeats no user turn"):
    parse_rows.parse_preference({**record, "prompt": "2+3?"})


def test_transcripts_are_split_at_the_last_marker_they_share():
  start = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: 2+2?\n\nAssistant:"
  # The answers begin alike, too: the split is not where characters differ.
  record = {"chosen": start + " It is 4", "rejected": start + " It is 5"}
  assert parse_rows.parse_preference(record) == PreferenceRow(
    start, " It is 4", " It is 5"
  )


@pytest.mark.parametrize(
  ("extra", "margin", "prob"),
  [
    ({}, 0.0, 1.0),
    ({"margin": 2}, 2.0, 1.0),
    ({"margin": -0.5, "preference_prob": 0}, -0.5, 0.0),
    ({"preference_prob": 0.75}, 0.0, 0.75),
    ({"score_chosen": 7.5, "score_rejected": 9}, -1.5, 1.0),
    ({"margin": 3, "score_chosen": "A", "score_rejected": 1}, 3.0, 1.0),
    ({"margin": None, "score_chosen": 2, "score_rejected": 1}, 1.0, 1.0),
    ({"margin": None, "score_chosen": None, "preference_prob": None}, 0, 1),
  ],
)
def test_pairs_keep_how_much_better_and_how_sure(extra, margin, prob):
  for record in (
    {"prompt": "Q", "chosen": "a", "rejected": "b"},
    {"chosen": [ASK, ANSWER], "rejected": [ASK, WRONG]},
  ):
    plain = parse_rows.parse_preference(record)
    row = parse_rows.parse_preference({**record, **extra})
    assert row == dataclasses.replace(
      plain, margin=margin, preference_prob=prob
    )
    assert isinstance(row.margin, float)
    assert isinstance(row.preference_prob, float)


@pytest.mark.parametrize("key", ["margin", "score_chosen", "preference_prob"])
@pytest.mark.parametrize(
  ("value", "reason"),
  [
    (True, "is a boolean: it must be a finite number"),
    ("1", "is a string: it must be a finite number"),
    ([1], "is a list: it must be a finite number"),
    (float("nan"), "is the number nan: it must be a finite number"),
    (float("inf"), "is a number: it must be a finite number"),
    pytest.param(-(10**400), "is a number: it must be a finite", id="huge"),
    (1000001, "of at most 1000000, above or below 0"),
  ],
)
def test_numbers_beside_a_pair_must_be_finite(key, value, reason):
  record = {"prompt": "Q", "chosen": "a", "rejected": "b"}
  record |= {"score_chosen": 2, "score_rejected": 1}
  with pytest.raises(RowError, match=reason) as caught:
    parse_rows.parse_preference({**record, key: value})
  assert str(caught.value).startswith(key)


@pytest.mark.parametrize("prob", [-0.1, 1.5])
def test_a_preference_beyond_certainty_is_refused(prob):
  record = {"prompt": "Q", "chosen": "a", "rejected": "b"}
  with pytest.raises(RowError, match="which is no probability"):
    parse_rows.parse_preference({**record, "preference_prob": prob})


@pytest.mark.parametrize("key", ["score_chosen", "score_rejected"])
def test_a_score_without_the_other_is_refused(key):
  record = {"prompt": "Q", "chosen": "a", "rejected": "b", key: 1}
  with pytest.raises(RowError, match=f"{key} stands alone"):
    parse_rows.parse_preference(record)


def test_unpaired_rows_keep_their_label():
  record = {"prompt": "Q", "completion": "a", "label": False}
  assert parse_rows.parse_unpaired(record) == UnpairedRow("Q", "a", False)
  record = {"prompt": [ASK], "completion": [ANSWER], "label": True}
  assert parse_rows.parse_unpaired(record) == UnpairedRow(
    (asked,), (answered,), True
  )


def _messages(*messages):
  return {"messages": list(messages)}


def _say(content: Any, role: Any = "assistant"):
  return _messages(ASK, {"role": role, "content": content})


@pytest.mark.parametrize(
  ("record", "reason"),
  [
    (None, "the record is null, not an object"),
    ([ASK, ANSWER], "the record is a list, not an object"),
    ("text", "the record is a string, not an object"),
    (
      {"conversations": []},
      r"fits no row format \(keys found: 'conversations'\)",
    ),
    ({}, r"keys found: none"),
    ({"prompt": "Q"}, r'the formats are \{"messages"'),
    ({"prompt": "Q", "chosen": "a", "rejected": "b"}, "fits no row format"),
    ({"messages": None}, "messages is null, not a list"),
    ({"messages": "hi"}, "messages is a string, not a list"),
    (_messages(), "messages is an empty list"),
    (_messages("hi"), r"messages\[0\] is a string, not a message"),
    (_messages(ASK), "no assistant turn"),
    (_messages(SYSTEM), "no assistant turn"),
    (_messages(ASK, {"role": "assistant"}), r"\[1\] has no 'content'"),
    (_messages({"content": "x"}), r"\[0\] has no 'role'"),
    (_messages(ASK, {**ANSWER, "tool_calls": []}), r"\[1\] has 'tool_calls'"),
    (_say("x", role="gpt"), r"\[1\].role is 'gpt': the roles are system"),
    (_say("x", role="Assistant"), r"\[1\].role is 'Assistant'"),
    (_say("x", role=None), r"\[1\].role is null"),
    (_say("x", role=["user"]), r"\[1\].role is a list"),
    (_say(""), r"messages\[1\].content is empty"),
    (_say(" \n\u3000"), r"messages\[1\].content is blank"),
    (_say(5), "content is the number 5, not a string"),
    (_say(float("nan")), "content is the number nan, not a string"),
    (_say(10**400), "content is a number, not a string"),
    (_say(None), "content is null, not a string"),
    (_say([{"type": "text"}]), "content is a list, not a string"),
    (_say(b"4"), "content is of type bytes, not a string"),
    (
      _say("a\ud83dz"),
      r"content holds a lone surrogate, \\ud83d, at char\S+ 1",
    ),
    (_messages(ASK, SYSTEM, ANSWER), r"\[1\] is a system message: one is"),
    (_messages(SYSTEM, SYSTEM, ASK, ANSWER), r"\[1\] is a system message"),
    (_messages(ANSWER), r"\[0\].role is 'assistant' where 'user' is due"),
    (_messages(ASK, ASK, ANSWER), r"\[1\].role is 'user' where 'assistant'"),
    (_messages(ASK, ANSWER, BYE), r"\[2\].role is 'assistant' where 'user'"),
    ({"prompt": "Q", "completion": " "}, "completion is blank"),
    ({"prompt": "Q", "completion": None}, "completion is null: they must all"),
    ({"prompt": "Q", "completion": [ANSWER]}, "must all be strings"),
    ({"prompt": [], "completion": [ANSWER]}, "prompt is an empty list"),
    ({"prompt": [ASK], "completion": []}, "completion is an empty list"),
    (
      {"prompt": [ASK, ANSWER], "completion": [BYE]},
      "ends in a message of the",
    ),
    ({"prompt": [SYSTEM], "completion": [ANSWER]}, "the system: it must end"),
    (
      {"prompt": [ASK], "completion": [ASK, ANSWER]},
      "where 'assistant' is due",
    ),
    (
      {"prompt": [ASK], "completion": [ANSWER, ASK]},
      "must end in an assistant",
    ),
    ({"prompt": [ASK], "completion": [SYSTEM]}, r"\[0\] is a system message"),
    ({"prompt": "a", "completion": "b", "label": False}, "undesirable"),
    ({"prompt": "\udc00", "completion": "b"}, "prompt holds a lone surrogate"),
    ({"text": ""}, "text is empty"),
    ({"text": {}}, "text is an object, not a string"),
    ({"instruction": "a", "input": "", "output": ""}, "output is empty"),
    ({"instruction": 3, "input": "", "output": "b"}, "instruction is the num"),
    ({"instruction": "a", "input": None, "output": "b"}, "input is null"),
  ],
)
def test_records_that_are_no_sft_row_are_refused(record, reason):
  with pytest.raises(RowError, match=reason) as caught:
    parse_rows.parse_sft(record)
  # An error must print on any terminal, whatever the record held.
  str(caught.value).encode("ascii")


@pytest.mark.parametrize(
  ("record", "reason"),
  [
    ({"prompt": "Q", "chosen": "a"}, "fits no row format"),
    ({"prompt": "Q", "chosen": "a", "rejected": "a"}, "are the same"),
    ({"prompt": "Q", "chosen": "a", "rejected": ""}, "rejected is empty"),
    ({"prompt": "Q", "chosen": "\t", "rejected": "a"}, "chosen is blank"),
    ({"prompt": [ASK], "chosen": "a", "rejected": "b"}, "must all be strings"),
    (
      {"prompt": [ASK], "chosen": [ASK, ANSWER], "rejected": [ASK, WRONG]},
      "where 'assistant' is due",
    ),
    ({"chosen": [ASK, ANSWER], "rejected": [ASK, ANSWER]}, "are the same"),
    ({"chosen": [ASK], "rejected": [ASK, ANSWER]}, "chosen ends in a message"),
    ({"chosen": [ASK, ANSWER], "rejected": [THANKS, BYE]}, "first 0 messages"),
    (
      {"chosen": [ASK, ANSWER, THANKS, BYE], "rejected": [ASK, ANSWER]},
      "first 2 messages, of 4 and 2",
    ),
    (
      {
        "chosen": [ASK, ANSWER, THANKS, BYE],
        "rejected": [ASK, ANSWER, ASK, BYE],
      },
      "first 2 messages, of 4 and 4",
    ),
    ({"chosen": [ASK, ANSWER], "rejected": "b"}, "rejected is a string"),
    ({"chosen": "a", "rejected": "b"}, "strings without a prompt"),
    (
      {"chosen": "x\n\nAssistant: a", "rejected": "y\n\nAssistant: b"},
      "strings without a prompt",
    ),
    (
      {"chosen": "x\n\nAssistant:", "rejected": "x\n\nAssistant: b"},
      "chosen is empty",
    ),
    (
      {"chosen": "x\n\nAssistant: a", "rejected": "x\n\nAssistant: \udfff"},
      "rejected holds a lone surrogate",
    ),
  ],
)
def test_records_that_are_no_preference_row_are_refused(record, reason):
  with pytest.raises(RowError, match=reason):
    parse_rows.parse_preference(record)


@pytest.mark.parametrize(
  ("record", "reason"),
  [
    ({"prompt": "Q", "completion": "a"}, "fits no row format"),
    ({"prompt": "Q", "completion": "a", "label": 1}, "label is the number 1"),
    ({"prompt": "Q", "completion": "a", "label": "true"}, "label is a string"),
    ({"prompt": "Q", "completion": "a", "label": None}, "label is null"),
    ({"prompt": "Q", "completion": "", "label": True}, "completion is empty"),
  ],
)
def test_records_that_are_no_unpaired_row_are_refused(record, reason):
  with pytest.raises(RowError, match=reason):
    parse_rows.parse_unpaired(record)


def test_an_error_repeats_little_of_a_hostile_record():
  key = "\x1b[31m\ud800" + "k" * 10_000
  for record in ({key: 1}, _messages({**ASK, key: 1}), _say("x", role=key)):
    with pytest.raises(RowError) as caught:
      parse_rows.parse_sft(record)
    message = str(caught.value)
    assert len(message) < 400
    assert message.isascii() and message.isprintable()


def test_parsing_leaves_the_record_as_it_was():
  record = {"chosen": [ASK, ANSWER], "rejected": [ASK, WRONG], "id": 1}
  before = copy.deepcopy(record)
  parse_rows.parse_preference(record)
  assert record == before


@pytest.mark.peers
def test_implicit_prompts_are_split_as_trl_splits_them():
  data_utils = pytest.importorskip("trl.data_utils")
  record = {
    "chosen": [SYSTEM, ASK, ANSWER, THANKS, BYE],
    "rejected": [SYSTEM, ASK, ANSWER, THANKS, WRONG],
  }
  row = parse_rows.parse_preference(record)
  expected = data_utils.extract_prompt(json.loads(json.dumps(record)))
  for field in ("prompt", "chosen", "rejected"):
    turns = [(turn.role, turn.content) for turn in getattr(row, field)]
    assert turns == [
      (turn["role"], turn["content"]) for turn in expected[field]
    ]
