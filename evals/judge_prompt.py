# SPDX-License-Identifier: Apache-2.0
"""What a judge of pairs is shown, from a prompt template of AlpacaEval's kind.

A template is plain text: turns between the markers <|im_start|>ROLE and
<|im_end|>, and in them {instruction}, {output_1} and {output_2}, and
{reference} if the judge is to see an answer that is known to be good. The file
is the user's; none comes with ramjax.

Turns are told apart before the slots are filled, and the slots are filled in
one pass; nothing is parsed after that. A marker or a slot in an answer is text
that the judge reads, where the authors' tool would begin a turn. What a server
makes of such text is beyond us, so `holds_markers` lets it be counted.
"""

import dataclasses
import hashlib
import os
import pathlib
import re

from ramjax.data.rows import Message

SLOTS = ("instruction", "output_1", "output_2")
REFERENCE = "reference"
_ROLES = ("system", "user", "assistant")
_START, _END = "<|im_start|>", "<|im_end|>"
_SLOT = re.compile(r"\{(" + "|".join((*SLOTS, REFERENCE)) + r")\}")
_MARKER = re.compile(r"<\|[^<>|\s]{1,40}\|>")
_MAX_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class JudgePrompt:
  """A template, read.

  Attributes:
    turns: Its turns, with slots in them.
    digest: SHA-256 of its text.
  """

  turns: tuple[Message, ...]
  digest: str

  @property
  def has_reference(self) -> bool:
    """Whether it shows an answer that is known to be good."""
    return any(REFERENCE in _SLOT.findall(turn.content) for turn in self.turns)

  def messages(
    self,
    *,
    instruction: str,
    output_1: str,
    output_2: str,
    reference: str | None = None,
  ) -> tuple[Message, ...]:
    """The conversation about one pair.

    Args:
      instruction: What was asked.
      output_1: The answer that is shown first.
      output_2: The other.
      reference: A good answer; None where the template has no slot for it.

    Raises:
      ValueError: There is a slot and no reference, or the reverse.
    """
    if (reference is not None) != self.has_reference:
      raise ValueError(
        f"the judge's prompt has {'a' if self.has_reference else 'no'} slot"
        f" {{{REFERENCE}}}, and there is"
        f" {'no' if reference is None else 'a'} reference: give both or neither."
      )
    texts = {
      "instruction": instruction,
      "output_1": output_1,
      "output_2": output_2,
      REFERENCE: reference or "",
    }
    return tuple(
      Message(turn.role, _SLOT.sub(lambda match: texts[match[1]], turn.content))
      for turn in self.turns
    )


def read(path: str | os.PathLike[str]) -> JudgePrompt:
  """Reads a template's file.

  Raises:
    ValueError: It is no template; see `parse`.
    FileNotFoundError: There is no such file.
  """
  path = pathlib.Path(path)
  with path.open("rb") as file:
    data = file.read(_MAX_BYTES + 1)
  if len(data) > _MAX_BYTES:
    raise ValueError(
      f"{path} is longer than {_MAX_BYTES} bytes: it is no judge's prompt."
    )
  try:
    text = data.decode()
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{path} is not UTF-8 text ({error}): it is no judge's prompt."
    ) from error
  return parse(text, where=str(path))


def parse(text: str, *, where: str = "the judge's prompt") -> JudgePrompt:
  """Reads a template.

  White space around a turn's text is not part of it, as in the authors' tool.

  Args:
    text: The template.
    where: What to call it in errors.

  Raises:
    ValueError: Turns are not marked or not ended, a role is not known, the last
      turn is not the user's, or a slot is missing.
  """
  turns = []
  before, *pieces = text.split(_START)
  if before.strip() or not pieces:
    raise ValueError(
      f"{where} does not begin with {_START}: each turn of a judge's prompt"
      f" stands between {_START}ROLE and {_END}."
    )
  for number, piece in enumerate(pieces, 1):
    content, end, after = piece.partition(_END)
    if not end or after.strip():
      raise ValueError(
        f"{where}: turn {number} must end with {_END}, and nothing may stand"
        " between turns."
      )
    role, _, content = content.partition("\n")
    if role.strip() not in _ROLES:
      raise ValueError(
        f"{where}: turn {number} has the role {role.strip()!r:.40}, which must"
        f" be one of {', '.join(_ROLES)}, on a line of its own."
      )
    turns.append(Message(role.strip(), content.strip()))
  if turns[-1].role != "user" or "system" in [t.role for t in turns[1:]]:
    raise ValueError(
      f"{where} has the turns {', '.join(t.role for t in turns)}: the last must"
      " be the user's, which the judge answers, and only the first the system's."
    )
  there = {slot for turn in turns for slot in _SLOT.findall(turn.content)}
  if missing := [f"{{{slot}}}" for slot in SLOTS if slot not in there]:
    raise ValueError(
      f"{where} has no {' and no '.join(missing)}: the judge would not see it."
    )
  return JudgePrompt(tuple(turns), hashlib.sha256(text.encode()).hexdigest())


def holds_markers(text: str) -> bool:
  """Whether a text has what looks like a chat template's special token."""
  return _MARKER.search(text) is not None
