# SPDX-License-Identifier: Apache-2.0
"""The one schema for training rows: what a record may hold, and what it means.

A record is a JSON object in one of the row formats of TRL; a row is the
checked, typed form of it that the rest of the package sees.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


class RowError(ValueError):
  """A record that is no row: what is wrong, what is allowed and the remedy.

  The message does not say where the record stands; who reads the file does.
  """


@dataclasses.dataclass(frozen=True)
class Message:
  """One turn of a conversation.

  Attributes:
    role: "system", "user" or "assistant".
    content: The text of the turn, as written.
    supervised: Whether the turn's tokens (and its end-of-turn token) are
      trained on. Only assistant turns can be.
  """

  role: str
  content: str
  supervised: bool = False


@dataclasses.dataclass(frozen=True)
class ChatRow:
  """A conversation with at least one supervised assistant turn."""

  messages: tuple[Message, ...]


@dataclasses.dataclass(frozen=True)
class TextRow:
  """Raw text: no template is applied; `completion` and an EOS are supervised."""

  prompt: str
  completion: str


SFTRow = ChatRow | TextRow


# A prompt or an answer: raw text, or the turns of a conversation. The two are
# never mixed in one row.
Text = str | tuple[Message, ...]


@dataclasses.dataclass(frozen=True)
class PreferenceRow:
  """Two answers to one prompt.

  Attributes:
    prompt: What is answered.
    chosen: The better answer.
    rejected: The worse one.
    margin: How much better the chosen one is, on the scale of the data; 0
      where the data does not say.
    preference_prob: Probability that the chosen one is indeed the better.
  """

  prompt: Text
  chosen: Text
  rejected: Text
  margin: float = 0.0
  preference_prob: float = 1.0


@dataclasses.dataclass(frozen=True)
class UnpairedRow:
  """One answer to a prompt and whether it is desirable."""

  prompt: Text
  completion: Text
  label: bool


@dataclasses.dataclass(frozen=True)
class RankedRow:
  """At least two answers to one prompt, the best first."""

  prompt: Text
  completions: tuple[Text, ...]


@dataclasses.dataclass(frozen=True)
class RatedRow:
  """One answer and what it was rated, attribute by attribute.

  Attributes:
    prompt: What is answered.
    completion: The answer.
    ratings: One number for each attribute asked for, in that order; NaN where
      there is no rating. At least one is a number.
  """

  prompt: Text
  completion: Text
  ratings: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class JudgedRow:
  """One answer and what a judge wrote about it.

  Attributes:
    prompt: What is answered.
    completion: The answer.
    judgement: The judge's text; empty where there is none.
    label: Whether the answer is fine. An answer that is not has a judgement.
  """

  prompt: Text
  completion: Text
  judgement: str
  label: bool


@dataclasses.dataclass(frozen=True)
class PromptRow:
  """A prompt that the policy answers itself.

  Attributes:
    prompt: What is answered.
    record: The raw record: what a reward compares with is in it.
  """

  prompt: Text
  record: Mapping[str, Any]


Row = (
  SFTRow
  | PreferenceRow
  | UnpairedRow
  | RankedRow
  | RatedRow
  | JudgedRow
  | PromptRow
)
