# SPDX-License-Identifier: Apache-2.0
"""Lines of a terminal's cells: widths, long words, and lines that stay."""

import random

import pytest

from ramjax.tools.chat_wrap import cells, padded, wrap


@pytest.mark.parametrize(
  "text,lines",
  [
    ("", [""]),
    ("one two three", ["one two", "three"]),
    ("one\n\ntwo", ["one", "", "two"]),
    ("abcdefghij", ["abcdefgh", "ij"]),
    ("ab cdefghijklm", ["ab ", "cdefghij", "klm"]),
    ("a\tb", ["a   b"]),
    ("漢字漢字漢字", ["漢字漢字", "漢字"]),
  ],
)
def test_lines_are_filled_word_by_word(text, lines):
  assert [line.rstrip() for line in wrap(text, 8)] == [
    line.rstrip() for line in lines
  ]


def test_cells_are_those_of_a_terminal():
  assert cells("ab") == 2 and cells("漢") == 2
  assert cells("e\u0301") == 1
  assert padded("漢", 4) == "漢  "


@pytest.mark.parametrize("width", [2, 5, 9])
def test_full_lines_stay_when_more_text_comes(width):
  rng = random.Random(1)
  for _ in range(200):
    text = "".join(rng.choice("ab c漢\n ") for _ in range(30))
    before = [""]
    for size in range(len(text) + 1):
      lines = wrap(text[:size], width)
      assert all(cells(line) <= width for line in lines)
      # The space behind a word may still come.
      stay = [line.rstrip() for line in lines]
      assert stay[: len(before) - 1] == before[:-1]
      before = stay
    seen = "".join("".join(before).split())
    assert seen == "".join(text.split())
