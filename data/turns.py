# SPDX-License-Identifier: Apache-2.0
"""The parts that row formats share: text, and the turns of a conversation.

Values come from a stranger's file, so nothing about them is assumed, and an
error repeats no more of one than a short, printable name.
"""

from collections.abc import Mapping

from ramjax.data.rows import Message, RowError

_ROLES = ("system", "user", "assistant")


def describe(value: object) -> str:
  """Names the kind of a JSON value, without its content."""
  match value:
    case None:
      return "null"
    case bool():
      return "a boolean"
    case int() | float():
      return "a number" if abs(value) > 1e9 else f"the number {value}"
    case str():
      return "a string"
    case list() | tuple():
      return "a list"
    case Mapping():
      return "an object"
    case _:
      return f"of type {type(value).__name__}"


def short_name(name: object) -> str:
  """Returns a stranger's name cut and in ASCII, so that an error can print."""
  return ascii(name) if len(str(name)) <= 40 else ascii(str(name)[:40]) + "..."


def parse_text(value: object, field: str) -> str:
  """Returns a string that UTF-8, and so any tokenizer, can encode.

  Raises:
    RowError: It is not a string, or holds a lone surrogate.
  """
  if not isinstance(value, str):
    raise RowError(
      f"{field} is {describe(value)}, not a string: write it as text, or drop"
      " the row"
    )
  try:
    value.encode("utf-8")
  except UnicodeEncodeError as error:
    raise RowError(
      f"{field} holds a lone surrogate, \\u{ord(value[error.start]):04x}, at"
      f" character {error.start}, which encodes no character: write both halves"
      " of the pair, or remove it"
    ) from None
  return value


def parse_answer(value: object, field: str) -> str:
  """Returns text to train on, which must be there.

  Raises:
    RowError: It is not text, or is empty or white space.
  """
  text = parse_text(value, field)
  if not text.strip():
    raise RowError(
      f"{field} is {'blank' if text else 'empty'}: an answer must hold text;"
      " drop the row"
    )
  return text


def parse_messages(
  value: object, field: str, *, supervised: bool, first: str = "user"
) -> tuple[Message, ...]:
  """Parses a list of messages and checks the order of their roles.

  Args:
    value: What the record holds.
    field: What it is called there.
    supervised: Whether the assistant turns are trained on.
    first: The role of the first turn, "user" or "assistant". Before "user", a
      system message may stand.

  Raises:
    RowError: It is no such list.
  """
  if not isinstance(value, list | tuple):
    raise RowError(
      f"{field} is {describe(value)}, not a list of messages: write"
      ' [{"role": ..., "content": ...}, ...]'
    )
  if not value:
    raise RowError(f"{field} is an empty list: add messages, or drop the row")
  messages = tuple(
    _parse_message(message, f"{field}[{index}]", supervised)
    for index, message in enumerate(value)
  )
  due = first
  for index, message in enumerate(messages):
    if message.role == "system":
      if index == 0 and first == "user":
        continue
      raise RowError(
        f"{field}[{index}] is a system message: one is allowed, as the first"
        " message of the conversation; move or merge it there"
      )
    if message.role != due:
      raise RowError(
        f"{field}[{index}].role is {message.role!r} where {due!r} is due: after"
        " an optional system message, user and assistant turns alternate, the"
        " user first; merge neighbours of one role, or drop the row"
      )
    due = "assistant" if due == "user" else "user"
  return messages


def _parse_message(value: object, field: str, supervised: bool) -> Message:
  if not isinstance(value, Mapping):
    raise RowError(
      f"{field} is {describe(value)}, not a message: write"
      ' {"role": ..., "content": ...}'
    )
  for key in ("role", "content"):
    if key not in value:
      raise RowError(
        f"{field} has no {key!r}: a message holds role and content; add it"
      )
  if extra := value.keys() - {"role", "content"}:
    names = ", ".join(sorted(short_name(key) for key in extra)[:12])
    raise RowError(
      f"{field} has {names}: a message holds role and content only (tool calls,"
      " names and images are not supported); remove that, or drop the row"
    )
  role = value["role"]
  if role not in _ROLES:
    given = short_name(role) if isinstance(role, str) else describe(role)
    raise RowError(
      f"{field}.role is {given}: the roles are {', '.join(_ROLES)}; rename it"
    )
  parse = parse_answer if role == "assistant" else parse_text
  content = parse(value["content"], f"{field}.content")
  return Message(role, content, supervised and role == "assistant")
