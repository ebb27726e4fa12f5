# SPDX-License-Identifier: Apache-2.0
"""The fields that row formats share: a prompt with its answers, numbers, keys.

A record comes from a stranger's file: a field may hold anything, and an error
repeats little of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ramjax.data import turns
from ramjax.data.rows import Message, RowError

# How many keys or fields of a record an error names.
_NUM_NAMES = 12

# No score, rating or margin is larger, and float32 has room to spare.
_LARGEST = 1e6


def parse_object(record: object) -> Mapping[str, Any]:
  """Returns a record that is an object with named fields.

  Raises:
    RowError: It is not.
  """
  if not isinstance(record, Mapping):
    raise RowError(
      f"the record is {turns.describe(record)}, not an object: write one JSON"
      " object with named fields for each row"
    )
  return record


def refuse_keys(record: Mapping[str, Any], formats: Sequence[str]) -> NoReturn:
  """Refuses a record whose keys are those of no wanted format.

  Raises:
    RowError: Always; it lists the keys and the formats.
  """
  found = ", ".join(turns.short_name(key) for key in list(record)[:_NUM_NAMES])
  raise RowError(
    f"the record fits no row format (keys found: {found or 'none'}): the"
    f" formats are {'; '.join(formats)}; rename its keys to those of one"
  )


def prompt_and_answers(record: Mapping[str, Any], *fields: str) -> tuple:
  """Parses an explicit prompt and answers: all strings, or all messages.

  Args:
    record: Holds "prompt" and every one of `fields`.
    *fields: The keys of the answers.

  Returns:
    The prompt and then the answers, in the order of `fields`.

  Raises:
    RowError: One is no prompt or answer, or strings and messages are mixed.
  """
  given = {field: record[field] for field in ("prompt", *fields)}
  if all(isinstance(value, str) for value in given.values()):
    prompt = turns.parse_text(record["prompt"], "prompt")
    answers = (turns.parse_answer(record[field], field) for field in fields)
    return (prompt, *answers)
  if all(isinstance(value, list | tuple) for value in given.values()):
    prompt = parse_prompt(record["prompt"])
    answers = (parse_answers(record[field], field) for field in fields)
    return (prompt, *answers)
  named = list(given)[:_NUM_NAMES]
  kinds = (f"{field} is {turns.describe(given[field])}" for field in named)
  raise RowError(
    f"{', '.join(kinds)}: they must all be strings (raw text) or all be lists"
    " of messages (a conversation); rewrite them alike"
  )


def parse_prompt(value: object) -> tuple[Message, ...]:
  """Parses messages that end in the user turn that is answered.

  Raises:
    RowError: They are no such messages.
  """
  messages = turns.parse_messages(value, "prompt", supervised=False)
  if messages[-1].role != "user":
    raise RowError(
      f"prompt ends in a message of the {messages[-1].role}: it must end in the"
      " user turn that is answered; move assistant turns to the answer"
    )
  return messages


def parse_answers(
  value: object, field: str, *, first: str = "assistant"
) -> tuple[Message, ...]:
  """Parses messages that end in an answer; every assistant turn is supervised.

  Args:
    value: What the record holds.
    field: What it is called there.
    first: The role of the first turn, "user" or "assistant".

  Raises:
    RowError: They are no such messages.
  """
  messages = turns.parse_messages(value, field, supervised=True, first=first)
  if messages[-1].role != "assistant":
    raise RowError(
      f"{field} ends in a message of the {messages[-1].role}: it must end in an"
      " assistant turn; remove what follows the last one"
    )
  return messages


def parse_number(value: object, field: str) -> float:
  """Returns a finite number of sensible size.

  Raises:
    RowError: It is none.
  """
  # Compared before it is converted: an int may be too large for a float.
  if (
    not isinstance(value, int | float)
    or isinstance(value, bool)
    or not -_LARGEST <= value <= _LARGEST
  ):
    raise RowError(
      f"{field} is {turns.describe(value)}: it must be a finite number of at"
      f" most {_LARGEST:.0f}, above or below 0; correct it, or leave it out"
    )
  return float(value)
