# SPDX-License-Identifier: Apache-2.0
"""Answers on a terminal or in a pipe while they are written, one or two.

What a model writes must not drive the terminal: its control characters are
shown, not sent.
"""

import os
import shutil
from collections.abc import Sequence
from typing import Protocol, TextIO

from ramjax.tools import chat_wrap, report_text

# Narrower terminals show two answers one below the other.
_LEAST_COLUMNS = 80
_BETWEEN = " | "
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Page(Protocol):
  """Where the answers to one turn are shown."""

  def show(self, index: int, piece: str) -> None:
    """Adds to the answer of a model, by its number."""
    ...

  def end(self, index: int) -> None:
    """Says that an answer is complete."""
    ...


class Terminal:
  """A stream that answers are written to.

  Attributes:
    interactive: Whether it is a terminal.
  """

  def __init__(self, stream: TextIO):
    """Looks at what the stream is."""
    self.interactive = stream.isatty()
    self._stream = stream
    self._coloured = self.interactive and not os.environ.get("NO_COLOR")

  def write(self, text: str) -> None:
    """Text of ours or of a model: what is hidden in it is shown."""
    self._send(report_text.visible(text, len(text)))

  def note(self, text: str) -> None:
    """A line about the chat, not of it."""
    shown = report_text.visible(text, len(text))
    self._send(f"{_DIM}{shown}{_PLAIN}\n" if self._coloured else f"{shown}\n")

  def rewrite(self, line: str) -> None:
    """Puts a line of escaped text in place of the one being written."""
    self._send(f"\r{line}")

  def page(self, names: Sequence[str]) -> tuple[Page, bool]:
    """A page for the answers of these models.

    Returns:
      The page, and whether the answers may come at the same time.
    """
    width = shutil.get_terminal_size((_LEAST_COLUMNS, 24)).columns
    if len(names) > 1 and self.interactive and width >= _LEAST_COLUMNS:
      return TwoColumns(self, names, width), True
    return Below(self, names), False

  def _send(self, text: str) -> None:
    encoding = self._stream.encoding or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    self._stream.write(text)
    self._stream.flush()


class Below:
  """Answers one below the other, each under its model's name."""

  def __init__(self, terminal: Terminal, names: Sequence[str]):
    """A single model needs no name."""
    self._terminal = terminal
    self._names = names
    self._begun: set[int] = set()

  def show(self, index: int, piece: str) -> None:
    """See `Page`."""
    self._begin(index)
    self._terminal.write(piece)

  def end(self, index: int) -> None:
    """See `Page`."""
    self._begin(index)
    self._terminal.write("\n")

  def _begin(self, index: int) -> None:
    if index not in self._begun and len(self._names) > 1:
      self._terminal.note(f"[{self._names[index]}]")
    self._begun.add(index)


class TwoColumns:
  """Two answers side by side, row by row.

  A row is final when both answers are past it; the one after those is rewritten
  in place. Nothing else of the terminal is needed, so a long answer scrolls.
  """

  def __init__(self, terminal: Terminal, names: Sequence[str], width: int):
    """Writes the names.

    Args:
      terminal: Where.
      names: Two.
      width: Of the terminal, in cells.
    """
    # A line that is full to the last cell would move the cursor on.
    self._width = (width - 1 - len(_BETWEEN)) // 2
    self._terminal = terminal
    self._texts = ["", ""]
    self._ended = [False, False]
    self._num_final = 0
    heads = [chat_wrap.wrap(_shown(n), self._width)[0] for n in names]
    terminal.note(self._row(*heads))

  def show(self, index: int, piece: str) -> None:
    """See `Page`."""
    self._texts[index] += _shown(piece)
    self._draw()

  def end(self, index: int) -> None:
    """See `Page`."""
    self._ended[index] = True
    self._draw()

  def _draw(self) -> None:
    left, right = (chat_wrap.wrap(t, self._width) for t in self._texts)
    both = [
      len(lines) if ended else len(lines) - 1
      for lines, ended in zip((left, right), self._ended, strict=True)
    ]
    # An answer that has ended is past every row.
    unlimited = max(len(left), len(right))
    num_final = min(
      unlimited if ended else count
      for count, ended in zip(both, self._ended, strict=True)
    )
    for i in range(self._num_final, num_final):
      self._terminal.rewrite(self._at(left, right, i) + "\n")
    self._num_final = max(self._num_final, num_final)
    if not all(self._ended):
      self._terminal.rewrite(self._at(left, right, self._num_final))

  def _at(self, left: list[str], right: list[str], i: int) -> str:
    return self._row(*(x[i] if i < len(x) else "" for x in (left, right)))

  def _row(self, left: str, right: str) -> str:
    padded = (chat_wrap.padded(text, self._width) for text in (left, right))
    return _BETWEEN.join(padded)


def _shown(text: str) -> str:
  return report_text.visible(text, len(text))
