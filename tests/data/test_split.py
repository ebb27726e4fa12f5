# SPDX-License-Identifier: Apache-2.0
"""Held-out rows: no prompt on both sides, the same choice every time."""

import random

import pytest

from ramjax.data.rows import (
  ChatRow,
  JudgedRow,
  Message,
  PreferenceRow,
  RankedRow,
  RatedRow,
  TextRow,
  UnpairedRow,
)
from ramjax.data.split import held_out_indices, prompt_text


def _row(prompt, answer="yes"):
  return ChatRow(
    (Message("user", prompt), Message("assistant", answer, supervised=True))
  )


def test_the_prompt_is_what_precedes_the_first_supervised_turn():
  row = ChatRow(
    (
      Message("system", "be brief"),
      Message("user", "one"),
      Message("assistant", "two"),
      Message("user", "three"),
      Message("assistant", "four", supervised=True),
      Message("user", "five"),
    )
  )
  assert prompt_text(row) == (
    "system\nbe brief\n\nuser\none\n\nassistant\ntwo\n\nuser\nthree"
  )
  assert prompt_text(TextRow("a", "b")) == "a"
  assert prompt_text(TextRow("", "b")) == "b"


def _of_every_kind(prompt, good, bad):
  return [
    PreferenceRow(prompt, good, bad),
    UnpairedRow(prompt, good, True),
    RankedRow(prompt, (good, bad)),
    RatedRow(prompt, good, (4.0,)),
    JudgedRow(prompt, good, "", True),
  ]


def test_one_conversation_has_one_prompt_in_rows_of_every_kind():
  prompt = (Message("system", "be brief"), Message("user", "one"))
  good = (Message("assistant", "two", True),)
  bad = (Message("assistant", "three", True),)
  wanted = "system\nbe brief\n\nuser\none"
  rows = [*_of_every_kind(prompt, good, bad), ChatRow(prompt + good)]
  assert [prompt_text(row) for row in rows] == [wanted] * 6


def test_raw_rows_without_a_prompt_are_known_by_their_first_answer():
  for prompt, wanted in (("q", "q"), ("", "good")):
    rows = [*_of_every_kind(prompt, "good", "bad"), TextRow(prompt, "good")]
    assert [prompt_text(row) for row in rows] == [wanted] * 6


def test_rows_of_every_kind_are_held_out_by_their_prompt():
  rows = [
    row for i in range(20) for row in _of_every_kind(f"q{i}", "good", "bad")
  ]
  held = held_out_indices(rows, 10)
  assert len(held) == 10
  assert {index // 5 for index in held} == {min(held) // 5, max(held) // 5}


def test_rows_with_one_prompt_are_never_divided():
  rows = [_row(f"prompt {i % 10}", f"answer {i}") for i in range(100)]
  held = held_out_indices(rows, 25)
  prompts = {prompt_text(rows[i]) for i in held}
  rest = {prompt_text(row) for i, row in enumerate(rows) if i not in held}
  assert not prompts & rest
  # Ten rows share each prompt: whole groups until there are at least 25.
  assert len(held) == 30


def test_the_choice_does_not_depend_on_the_order_of_the_file():
  rows = [_row(f"prompt {i}") for i in range(50)]
  shuffled = rows[:]
  random.Random(0).shuffle(shuffled)
  chosen = {prompt_text(rows[i]) for i in held_out_indices(rows, 7)}
  again = {prompt_text(shuffled[i]) for i in held_out_indices(shuffled, 7)}
  assert chosen == again and len(chosen) == 7


def test_more_held_out_rows_contain_the_fewer():
  rows = [_row(f"prompt {i}") for i in range(50)]
  assert held_out_indices(rows, 5) < held_out_indices(rows, 10)


def test_none_asked_for_is_none():
  assert held_out_indices([_row("a")], 0) == set()


def test_holding_out_everything_is_refused():
  with pytest.raises(ValueError, match="eval_rows=2 of 2 rows leaves none"):
    held_out_indices([_row("a"), _row("b")], 2)


def test_a_negative_number_is_refused():
  with pytest.raises(ValueError, match="eval_rows=-1"):
    held_out_indices([_row("a")], -1)
