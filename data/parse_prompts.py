# SPDX-License-Identifier: Apache-2.0
"""From records of any format to prompts that the policy answers itself.

Rows with answers serve too: the answers are left aside, and what a reward
compares with stays in the record.
"""

from collections.abc import Mapping
from typing import Any

from ramjax.data import parse_rows, record_fields, turns
from ramjax.data.rows import Message, PromptRow, RowError, Text

PROMPT_FORMATS = (
  '{"prompt": ...}',
  '{"messages": [...]}',
  '{"question": "..."} (GSM8K)',
  '{"instruction": "...", "input": "..."}',
  *parse_rows.PREFERENCE_FORMATS[1:],
)


def parse_prompt_row(record: object) -> PromptRow:
  """Parses a record that holds a prompt: the first of `PROMPT_FORMATS` that fits.

  The prompt of `messages` ends in their last user turn. A string `prompt` is
  raw text, as in every row format; a `question` is one user turn.

  Raises:
    RowError: The record holds no prompt.
  """
  record = record_fields.parse_object(record)
  return PromptRow(_parse_prompt(record), record)


def _parse_prompt(record: Mapping[str, Any]) -> Text:
  pair = "chosen" in record and "rejected" in record
  # As in UltraFeedback: a string beside conversations is one of their turns.
  beside = pair and not isinstance(record["chosen"], str)
  if "prompt" in record and not (beside and isinstance(record["prompt"], str)):
    prompt = record["prompt"]
    if isinstance(prompt, str):
      return turns.parse_text(prompt, "prompt")
    return record_fields.parse_prompt(prompt)
  if "messages" in record:
    messages = turns.parse_messages(
      record["messages"], "messages", supervised=False
    )
    while messages and messages[-1].role != "user":
      messages = messages[:-1]
    if not messages:
      raise RowError(
        "messages has no user turn, so there is nothing to answer: add it, or"
        " drop the row"
      )
    return messages
  if "question" in record:
    question = turns.parse_text(record["question"], "question")
    return (Message("user", question),)
  if "instruction" in record:
    return (parse_rows.parse_instruction(record),)
  if pair:
    return parse_rows.parse_preference(record).prompt
  record_fields.refuse_keys(record, PROMPT_FORMATS)
