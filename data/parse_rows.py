# SPDX-License-Identifier: Apache-2.0
"""From records in the row formats of TRL to checked rows.

A record comes from a stranger's file, so nothing about it is assumed: what
passes here is text that a tokenizer accepts, in turns that a template can
render, with an answer to train on. Keys beside those of a format are ignored.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data import record_fields, turns
from ramjax.data.rows import (
  ChatRow,
  Message,
  PreferenceRow,
  RowError,
  SFTRow,
  TextRow,
  UnpairedRow,
)

SFT_FORMATS = (
  '{"messages": [...]}',
  '{"prompt": ..., "completion": ...}',
  '{"instruction": "...", "input": "...", "output": "..."}',
  '{"text": "..."}',
)
PREFERENCE_FORMATS = (
  '{"prompt": ..., "chosen": ..., "rejected": ...}',
  '{"chosen": ..., "rejected": ...} that begin alike',
)
UNPAIRED_FORMATS = ('{"prompt": ..., "completion": ..., "label": true|false}',)

# Every key that `tfds_rows` has a feature for; the other keys of a record, the
# numbers beside a preference among them, are extra and ride along.
FORMAT_KEYS = frozenset(
  "messages prompt completion instruction input output text chosen rejected"
  " label".split()
)

# Where an answer begins in the transcripts of Anthropic's HH-RLHF.
_HH_MARKER = "\n\nAssistant:"


def parse_sft(record: object) -> SFTRow:
  """Parses a record to imitate: the first of `SFT_FORMATS` that fits.

  Every assistant turn of `messages`, or of a conversational `completion`, is
  supervised. The Alpaca shape becomes one user turn and one assistant turn,
  with a non-empty `input` below "### Input:". String prompts and completions,
  and `text`, stay raw text.

  Raises:
    RowError: The record is no such row.
  """
  record = record_fields.parse_object(record)
  if record.get("label") is False:
    raise RowError(
      "label is false, which marks an undesirable completion, and SFT would"
      " imitate it: drop the row, or train with an algorithm for unpaired rows"
    )
  if "messages" in record:
    messages = turns.parse_messages(
      record["messages"], "messages", supervised=True
    )
    if not any(message.supervised for message in messages):
      raise RowError(
        "messages has no assistant turn, so nothing would be trained on: add"
        " the answer, or drop the row"
      )
    return ChatRow(messages)
  if "prompt" in record and "completion" in record:
    prompt, completion = record_fields.prompt_and_answers(record, "completion")
    if isinstance(prompt, str):
      return TextRow(prompt, completion)
    return ChatRow(prompt + completion)
  if "instruction" in record and "output" in record:
    return _parse_alpaca(record)
  if "text" in record:
    return TextRow("", turns.parse_answer(record["text"], "text"))
  record_fields.refuse_keys(record, SFT_FORMATS)


def parse_preference(record: object) -> PreferenceRow:
  """Parses a record that holds a better and a worse answer.

  Without a `prompt`, conversations are split where they first differ, and
  transcripts in the style of HH-RLHF after the last "Assistant:" before that.
  A string `prompt` beside conversations, as in UltraFeedback, must repeat one
  of their shared user turns, and is then no part of the row.

  Two numbers may stand beside them, or be null: `preference_prob`, and `margin`
  or, as in UltraFeedback, `score_chosen` and `score_rejected` in its place,
  whose difference it is. `PreferenceRow` says what they mean.

  Raises:
    RowError: The record is no such row.
  """
  record = record_fields.parse_object(record)
  if "chosen" not in record or "rejected" not in record:
    record_fields.refuse_keys(record, PREFERENCE_FORMATS)
  chosen, rejected = record["chosen"], record["rejected"]
  if chosen == rejected:
    raise RowError(
      "chosen and rejected are the same, so neither can be preferred: drop the"
      " row"
    )
  return dataclasses.replace(
    _parse_pair(record),
    margin=_parse_margin(record),
    preference_prob=_parse_preference_prob(record),
  )


def parse_unpaired(record: object) -> UnpairedRow:
  """Parses a record that holds one answer and whether it is desirable.

  Raises:
    RowError: The record is no such row.
  """
  record = record_fields.parse_object(record)
  if not {"prompt", "completion", "label"} <= record.keys():
    record_fields.refuse_keys(record, UNPAIRED_FORMATS)
  label = record["label"]
  if not isinstance(label, bool):
    raise RowError(
      f"label is {turns.describe(label)}, not a boolean: write true for a"
      " desirable completion and false for an undesirable one"
    )
  prompt, completion = record_fields.prompt_and_answers(record, "completion")
  return UnpairedRow(prompt, completion, label)


def _parse_pair(record: Mapping[str, Any]) -> PreferenceRow:
  """Parses prompt and answers, wherever the prompt is."""
  chosen, rejected = record["chosen"], record["rejected"]
  if "prompt" not in record:
    if isinstance(chosen, str) and isinstance(rejected, str):
      return _split_transcripts(chosen, rejected)
    return _split_conversations(chosen, rejected)
  if isinstance(record["prompt"], str) and isinstance(chosen, list | tuple):
    row = _split_conversations(chosen, rejected)
    copied = Message("user", record["prompt"])
    if all(message != copied for message in row.prompt):
      raise RowError(
        "prompt is a string that repeats no user turn shared by chosen and"
        " rejected: give the prompt as a list of messages"
      )
    return row
  return PreferenceRow(
    *record_fields.prompt_and_answers(record, "chosen", "rejected")
  )


def _parse_margin(record: Mapping[str, Any]) -> float:
  if record.get("margin") is not None:
    return record_fields.parse_number(record["margin"], "margin")
  given = {
    key: record_fields.parse_number(record[key], key)
    for key in ("score_chosen", "score_rejected")
    if record.get(key) is not None
  }
  if len(given) == 1:
    raise RowError(
      f"{next(iter(given))} stands alone: the margin is score_chosen less"
      " score_rejected; give both scores, or neither"
    )
  return given["score_chosen"] - given["score_rejected"] if given else 0.0


def _parse_preference_prob(record: Mapping[str, Any]) -> float:
  if (given := record.get("preference_prob")) is None:
    return 1.0
  prob = record_fields.parse_number(given, "preference_prob")
  if not 0 <= prob <= 1:
    raise RowError(
      f"preference_prob is {turns.describe(given)}, which is no probability:"
      " write how likely chosen is the better answer, from 0 to 1"
    )
  return prob


def parse_instruction(record: Mapping[str, Any]) -> Message:
  """The user turn of the Alpaca shape, a non-empty `input` below the rest.

  Raises:
    RowError: A field is no text.
  """
  content = turns.parse_text(record["instruction"], "instruction")
  if given := turns.parse_text(record.get("input", ""), "input"):
    content += "\n\n### Input:\n" + given
  return Message("user", content)


def _parse_alpaca(record: Mapping[str, Any]) -> ChatRow:
  question = parse_instruction(record)
  answer = turns.parse_answer(record["output"], "output")
  return ChatRow((question, Message("assistant", answer, True)))


def _shared_length(one: Sequence, other: Sequence) -> int:
  """Returns the length of the longest common prefix."""
  # Bisection compares whole slices, far faster than a loop over characters.
  low, high = 0, min(len(one), len(other))
  while low < high:
    middle = (low + high + 1) // 2
    if one[low:middle] == other[low:middle]:
      low = middle
    else:
      high = middle - 1
  return low


def _split_conversations(chosen: object, rejected: object) -> PreferenceRow:
  """Splits two conversations where they first differ."""
  better = record_fields.parse_answers(chosen, "chosen", first="user")
  worse = record_fields.parse_answers(rejected, "rejected", first="user")
  shared = _shared_length(better, worse)
  # All of one, shared, would end in an assistant turn: no case of its own.
  if shared == 0 or better[shared - 1].role != "user":
    raise RowError(
      f"chosen and rejected share their first {shared} messages, of"
      f" {len(better)} and {len(worse)}: without a prompt they must share one"
      " that ends in a user turn, and differ in the assistant's next; give the"
      " prompt as a field of its own, or drop the row"
    )
  prompt = tuple(Message(turn.role, turn.content) for turn in better[:shared])
  return PreferenceRow(prompt, better[shared:], worse[shared:])


def _split_transcripts(chosen: str, rejected: str) -> PreferenceRow:
  """Splits two transcripts after the last HH-RLHF marker that both share."""
  turns.parse_text(chosen, "chosen")
  turns.parse_text(rejected, "rejected")
  marker = chosen.rfind(_HH_MARKER, 0, _shared_length(chosen, rejected))
  if marker < 0:
    raise RowError(
      "chosen and rejected are strings without a prompt, and do not begin alike"
      f" up to a {_HH_MARKER!r}, where a transcript can be split: add a prompt"
      " field"
    )
  end = marker + len(_HH_MARKER)
  return PreferenceRow(
    chosen[:end],
    turns.parse_answer(chosen[end:], "chosen"),
    turns.parse_answer(rejected[end:], "rejected"),
  )
