# SPDX-License-Identifier: Apache-2.0
"""Rows as the doctor shows them."""

import itertools

import pytest
import tiny_audit

from ramjax.data.findings import Finding, Place, Severity
from ramjax.data.rows import (
  ChatRow,
  JudgedRow,
  Message,
  PreferenceRow,
  RatedRow,
  TextRow,
  UnpairedRow,
)
from ramjax.tools import doctor_rows


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  return tiny_audit.train(tmp_path_factory.mktemp("tokenizer"))


def _show(row, tokenizer, **settings):
  data = tiny_audit.of_rows([row], tokenizer, **settings)
  return doctor_rows.show(data, data.sources[0], 0)


def _runs(section):
  """(kind, text) of neighbours of one kind."""
  return [
    (kind, "".join(piece.text for piece in pieces))
    for kind, pieces in itertools.groupby(section.pieces, lambda p: p.kind)
  ]


def test_a_chat_is_one_section_of_prompt_and_answer(tokenizer):
  shown = _show(tiny_audit.chat("question 1", "answer 2"), tokenizer)
  (section,) = shown.sections
  assert section.title == "" and str(shown.place) == "main row 1"
  assert _runs(section) == [
    ("prompt", "<s>User: question 1\nAssistant:"),
    ("supervised", " answer 2</s>"),
  ]


def test_facts_count_what_the_model_sees(tokenizer):
  row = TextRow("!?", "?!")
  assert _show(row, tokenizer).facts == ["6 tokens, 3 supervised, 1 BOS, 1 EOS"]


def test_special_tokens_are_told_from_their_names_as_text(tokenizer):
  (section,) = _show(TextRow("!", "</s>"), tokenizer).sections
  special = [piece.text for piece in section.pieces if piece.special]
  assert special == ["<s>", "</s>"]
  assert _runs(section)[1] == ("supervised", "</s></s>")


def test_bytes_of_one_character_are_one_piece(tokenizer):
  (section,) = _show(TextRow("!", "é→😀"), tokenizer).sections
  assert [piece.text for piece in section.pieces[2:]] == [
    "é", "→", "😀", "</s>"
  ]  # fmt: skip


def test_the_end_of_a_cut_answer_is_shown(tokenizer):
  # BOS, two of the prompt, five of the answer.
  shown = _show(TextRow("!?", "?!?!?!?!"), tokenizer, max_length=8)
  assert _runs(shown.sections[0]) == [
    ("prompt", "<s>!?"),
    ("supervised", "?!?!?"),
    ("cut", "!?!</s>"),
  ]
  assert shown.facts[-1] == "4 tokens cut to fit"


def test_exchanges_that_were_dropped_are_shown_in_their_place(tokenizer):
  old = (Message("user", "!!!!!!!!"), Message("assistant", "!!!!", True))
  new = tiny_audit.chat("answer", "more").messages
  full = tiny_audit.of_rows([ChatRow(old + new)], tokenizer)
  length = len(full.sources[0].examples[0].tokens)
  shown = _show(ChatRow(old + new), tokenizer, max_length=length - 10)
  kept = [p.text for p in shown.sections[0].pieces if p.kind != "cut"]
  assert "".join(kept) == "<s>User: answer\nAssistant: more</s>"
  cut = "".join(p.text for p in shown.sections[0].pieces if p.kind == "cut")
  assert "!!!!!!!!" in cut


def test_a_pair_shares_its_prompt(tokenizer):
  shown = _show(PreferenceRow("!?", "?", "!!"), tokenizer)
  assert [s.title for s in shown.sections] == ["prompt", "chosen", "rejected"]
  assert _runs(shown.sections[0]) == [("prompt", "<s>!?")]
  assert _runs(shown.sections[2]) == [("supervised", "!!</s>")]
  assert shown.facts[1] == "rejected: 6 tokens, 3 supervised, 1 BOS, 1 EOS"


def test_the_start_of_a_prompt_that_was_cut_is_shown(tokenizer):
  # Digits are tokens; the answers, of two tokens, leave BOS and three of them.
  row = PreferenceRow("0123456789", "?", "!")
  shown = _show(row, tokenizer, max_length=6)
  assert _runs(shown.sections[0]) == [
    ("prompt", "<s>"),
    ("cut", "0123456"),
    ("prompt", "789"),
  ]


def test_other_kinds_are_titled_by_what_is_known_of_them(tokenizer):
  def titles(row):
    return [s.title for s in _show(row, tokenizer).sections]

  assert titles(UnpairedRow("a", "b", True)) == ["prompt", "desirable"]
  assert titles(UnpairedRow("a", "b", False)) == ["prompt", "undesirable"]
  assert titles(RatedRow("a", "b", (3.0, 0.5))) == ["prompt", "rated 3, 0.5"]
  judged = titles(JudgedRow("a", "b", "wrong", False))
  assert judged[::2] == ["prompt", "prompt"] and "judged" in judged[1]


def test_first_rows_and_those_that_findings_name_are_chosen(tokenizer):
  rows = [TextRow("!", f"answer {i}") for i in range(6)]
  data = tiny_audit.of_rows(rows, tokenizer)
  named = (Place("main", 4), Place("main", 0), Place("other", 3))
  finding = Finding(Severity.NOTE, "x", "", "", 1, 6, named)
  chosen = doctor_rows.choose(data, [finding], 2)
  assert [index for _, index in chosen] == [0, 1, 4]


def test_a_row_without_a_known_number_shows_what_was_kept(tokenizer):
  rows = [PreferenceRow("!", "?", "?"), PreferenceRow("!" * 9, "?", "!")]
  data = tiny_audit.of_rows(rows, tokenizer, max_length=6)
  shown = doctor_rows.show(data, data.sources[0], 0)
  assert str(shown.place) == "main example 1"
  assert all(p.kind != "cut" for s in shown.sections for p in s.pieces)
