# SPDX-License-Identifier: Apache-2.0
"""Lines of a chat that begin with a slash: what they do."""

import json
import pathlib
from collections.abc import Callable, Sequence

from ramjax.tools.chat_speaker import Speaker

HELP = """\
/help         this
/reset        forget the conversation; the system message stays
/system TEXT  set the system message; without TEXT there is none
/save FILE    write the conversation as a row of training data (.jsonl)
/undo         forget the last question and its answer
/quit         leave, as Ctrl-D does
A line that ends in \\ goes on in the next; one that begins with // is sent with
one slash. Ctrl-C stops an answer, and what was written of it stays."""


def run(line: str, speakers: Sequence[Speaker]) -> str:
  """Does what a line says, to all models alike.

  Args:
    line: It begins with a slash; `/quit` is the caller's.
    speakers: The models.

  Returns:
    What to tell the user.

  Raises:
    ValueError: No such command, or one that cannot be done.
    OSError: A file cannot be written.
  """
  name, _, argument = line.partition(" ")
  command = _COMMANDS.get(name)
  if command is None:
    raise ValueError(
      f"{name} is no command: {', '.join(_COMMANDS)}, /quit. To send a text"
      " that begins with a slash, begin it with two."
    )
  return command(speakers, argument.strip())


def _help(speakers: Sequence[Speaker], argument: str) -> str:
  del speakers, argument
  return HELP


def _reset(speakers: Sequence[Speaker], argument: str) -> str:
  del argument
  for speaker in speakers:
    speaker.turns.clear()
  return "The conversation begins anew."


def _system(speakers: Sequence[Speaker], argument: str) -> str:
  for speaker in speakers:
    speaker.system = argument
  return "The system message is set." if argument else "No system message."


def _undo(speakers: Sequence[Speaker], argument: str) -> str:
  del argument
  undone = [speaker.undo() for speaker in speakers]
  return "The last exchange is gone." if any(undone) else "Nothing to undo."


def _save(speakers: Sequence[Speaker], argument: str) -> str:
  if not argument:
    raise ValueError("/save needs the name of a file: /save chat.jsonl")
  rows = [
    json.dumps(
      {
        "messages": [{"role": m.role, "content": m.content} for m in s.messages]
      },
      ensure_ascii=False,
    )
    for s in speakers
    if s.turns
  ]
  if not rows:
    raise ValueError("there is nothing to save yet.")
  path = pathlib.Path(argument).expanduser()
  try:
    with path.open("x", encoding="utf-8") as file:
      file.writelines(f"{row}\n" for row in rows)
  except FileExistsError as error:
    raise ValueError(f"{path} exists: give another name.") from error
  return f"{path}: saved, one row for each model."


_COMMANDS: dict[str, Callable[[Sequence[Speaker], str], str]] = {
  "/help": _help,
  "/reset": _reset,
  "/system": _system,
  "/save": _save,
  "/undo": _undo,
}
