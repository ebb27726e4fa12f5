# SPDX-License-Identifier: Apache-2.0
"""Answers on a terminal: two columns, and output that cannot drive it."""

import io
import os

import pytest

from ramjax.tools.chat_terminal import Below, Terminal, TwoColumns

_HOSTILE = "\x1b[2Jhi\x07\r\u202e\x9b31m\ud800"


class _Screen(io.StringIO):
  """A terminal that keeps what is written to it."""

  encoding = "utf-8"

  def isatty(self):
    return True

  def rows(self):
    """What one sees: the last text written into each row."""
    return [
      line.rpartition("\r")[2].rstrip() for line in self.getvalue().split("\n")
    ]


def test_control_characters_of_an_answer_are_shown_and_not_sent():
  for screen in (_Screen(), io.StringIO()):
    terminal = Terminal(screen)
    terminal.write(_HOSTILE)
    shown = screen.getvalue()
    assert not set("\x1b\x07\r\u202e\x9b") & set(shown)
    assert "<U+001B>[2Jhi<U+0007><U+000D><U+202E><U+009B>" in shown


def test_columns_show_control_characters_too(monkeypatch):
  monkeypatch.setenv("NO_COLOR", "1")
  screen = _Screen()
  page = TwoColumns(Terminal(screen), ["a\x1b", "b"], 160)
  page.show(0, _HOSTILE)
  page.end(0)
  page.end(1)
  assert "\x1b" not in screen.getvalue()
  assert "<U+001B>[2Jhi" in screen.rows()[1]


def test_what_the_encoding_lacks_is_escaped():
  raw = io.BytesIO()
  stream = io.TextIOWrapper(raw, encoding="ascii")
  Terminal(stream).write("é漢")
  assert raw.getvalue() == b"\\xe9\\u6f22"


def test_two_answers_stand_side_by_side_row_by_row(monkeypatch):
  monkeypatch.setenv("NO_COLOR", "1")
  screen = _Screen()
  # (24 - 1 - 3) // 2 = 10 cells each.
  page = TwoColumns(Terminal(screen), ["left", "right"], 24)
  page.show(0, "one two th")
  page.show(1, "a")
  assert screen.rows() == ["left       | right", "one two th | a"]
  page.show(0, "ree four five")
  page.end(0)
  # The right one is still in its first row, so that row is not final.
  assert screen.rows() == ["left       | right", "one two    | a"]
  page.show(1, "b\nsecond row of it")
  page.end(1)
  assert screen.rows() == [
    "left       | right",
    "one two    | ab",
    "three four | second row",
    "five       | of it",
    "",
  ]


def test_a_row_never_reaches_the_last_cell():
  screen = _Screen()
  page = TwoColumns(Terminal(screen), ["x" * 200, "y"], 80)
  page.show(0, "word " * 100)
  page.end(0)
  page.show(1, "漢" * 90)
  page.end(1)
  assert max(map(len, screen.rows()[1:])) < 80


def test_answers_below_each_other_are_named_and_one_alone_is_not():
  stream = io.StringIO()
  page = Below(Terminal(stream), ["a", "b"])
  page.show(0, "one")
  page.end(0)
  page.end(1)
  assert stream.getvalue() == "[a]\none\n[b]\n\n"
  alone = io.StringIO()
  page = Below(Terminal(alone), ["a"])
  page.show(0, "one")
  page.end(0)
  assert alone.getvalue() == "one\n"


@pytest.mark.parametrize(
  "width,interactive,names,kind",
  [
    (120, True, "ab", TwoColumns),
    (79, True, "ab", Below),
    (120, False, "ab", Below),
    (120, True, "a", Below),
  ],
)
def test_the_terminal_decides_between_the_two(
  monkeypatch, width, interactive, names, kind
):
  monkeypatch.setattr(
    "shutil.get_terminal_size", lambda _: os.terminal_size((width, 24))
  )
  screen = _Screen() if interactive else io.StringIO()
  page, together = Terminal(screen).page(list(names))
  assert isinstance(page, kind) and together == (kind is TwoColumns)
