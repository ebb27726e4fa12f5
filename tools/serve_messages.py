# SPDX-License-Identifier: Apache-2.0
"""The conversation in a request, as OpenAI's clients write it."""

from typing import Any

from ramjax.data.rows import Message
from ramjax.tools import serve_fields
from ramjax.tools.serve_errors import invalid
from ramjax.tools.serve_fields import Fields


def parse(value: Any) -> tuple[Message, ...]:
  """Reads the field `messages`.

  Args:
    value: As in the JSON.

  Returns:
    The turns; whether they suit a template is not checked.

  Raises:
    ApiError: It is no list of turns, or a turn holds what is not text.
  """
  if not isinstance(value, list) or not value:
    raise invalid("messages", "messages must be a list with a user's turn.")
  return tuple(_message(turn, f"messages[{i}]") for i, turn in enumerate(value))


def _message(value: Any, where: str) -> Message:
  if not isinstance(value, dict):
    raise invalid(where, f"{where} must be an object with role and content.")
  fields = Fields(value, where=f"{where}.")
  role, content = fields.take("role"), fields.take("content")
  fields.done()
  if role == "developer":  # OpenAI's newer name.
    role = "system"
  if role not in ("system", "user", "assistant"):
    raise invalid(
      f"{where}.role", "role must be system, developer, user or assistant."
    )
  if isinstance(content, list):
    content = "".join(_part(part, f"{where}.content") for part in content)
  return Message(role, serve_fields.text(content, f"{where}.content"))


def _part(value: Any, where: str) -> str:
  """The text of one part of a content; pictures and sound are not read."""
  if not isinstance(value, dict) or value.get("type") != "text":
    raise invalid(where, f"{where}: parts must be of type text.")
  fields = Fields({k: v for k, v in value.items() if k != "type"}, f"{where}.")
  part = serve_fields.text(fields.take("text"), where)
  fields.done()
  return part
