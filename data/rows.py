# SPDX-License-Identifier: Apache-2.0
"""The one schema for training rows: what a record may hold, and what it means.

A record is a JSON object in one of the row formats of TRL; a row is the
checked, typed form of it that the rest of the package sees.
"""

import dataclasses


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


@dataclasses.dataclass(frozen=True)
class PreferenceRow:
  """Two answers to one prompt; raw strings or conversations, never mixed."""

  prompt: str | tuple[Message, ...]
  chosen: str | tuple[Message, ...]
  rejected: str | tuple[Message, ...]


@dataclasses.dataclass(frozen=True)
class UnpairedRow:
  """One answer to a prompt and whether it is desirable."""

  prompt: str | tuple[Message, ...]
  completion: str | tuple[Message, ...]
  label: bool


Row = SFTRow | PreferenceRow | UnpairedRow
