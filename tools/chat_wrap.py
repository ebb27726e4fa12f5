# SPDX-License-Identifier: Apache-2.0
"""Text in lines of a terminal's cells, such that lines that are full stay.

`textwrap` fills a line again when the word behind it grows too long, and counts
characters where a terminal counts cells.
"""

import unicodedata
from collections.abc import Iterator


def cells(text: str) -> int:
  """Columns of a terminal that a text without control characters takes."""
  return sum(map(_cells_of, text))


def padded(text: str, width: int) -> str:
  """`text` with spaces behind it, up to a width in cells."""
  return text + " " * (width - cells(text))


def wrap(text: str, width: int) -> list[str]:
  """Lines of at most `width` cells, at least one line.

  With more text behind it, all lines but the last stay as they are.

  Args:
    text: Without control characters but newlines and tabs.
    width: In cells, at least 2.
  """
  lines = []
  for paragraph in text.expandtabs(4).split("\n"):
    lines += _wrap_paragraph(paragraph, width)
  return lines


def _wrap_paragraph(text: str, width: int) -> list[str]:
  lines = [""]
  used = 0
  for word in _words(text):
    size = cells(word.rstrip(" "))
    if used and used + size > width:
      lines.append("")
      used = 0
    for character in word:
      needed = _cells_of(character)
      if used + needed > width:
        if character == " ":  # At the end of a full line it is not seen.
          continue
        lines.append("")
        used = 0
      lines[-1] += character
      used += needed
  return lines


def _words(text: str) -> Iterator[str]:
  """Words, each with the spaces behind it."""
  start = 0
  for i in range(1, len(text)):
    if text[i - 1] == " " and text[i] != " ":
      yield text[start:i]
      start = i
  if text:
    yield text[start:]


def _cells_of(character: str) -> int:
  if unicodedata.category(character) in ("Mn", "Me", "Cf"):
    return 0
  return 2 if unicodedata.east_asian_width(character) in "WF" else 1
