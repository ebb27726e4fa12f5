# SPDX-License-Identifier: Apache-2.0
"""What the doctor prints: colours or brackets, and nothing that commands."""

import io

import pytest
import tiny_audit

from ramjax.data import audit
from ramjax.data.rows import TextRow
from ramjax.tools import doctor, doctor_terminal


class _Terminal(io.StringIO):
  encoding = "utf-8"

  def isatty(self):
    return True


class _Latin(io.StringIO):
  encoding = "latin-1"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  return tiny_audit.train(tmp_path_factory.mktemp("tokenizer"))


def _text(rows, tokenizer, stream, *, refused=(), num_rows=3, **settings):
  data = tiny_audit.of_rows(rows, tokenizer, **settings)
  found = audit.audit(data)
  diagnosis = doctor.Diagnosis("mine", "sft", data, found, refused, num_rows)
  return doctor_terminal.text(diagnosis, stream, 3)


_ROW = TextRow("!", "?")


def test_a_terminal_gets_colours(tokenizer, monkeypatch):
  monkeypatch.delenv("NO_COLOR", raising=False)
  out = _text([_ROW], tokenizer, _Terminal())
  assert "\x1b[2m<s>!\x1b[0m\x1b[32m?</s>\x1b[0m" in out
  assert "[+" not in out


def test_no_color_is_honoured(tokenizer, monkeypatch):
  monkeypatch.setenv("NO_COLOR", "1")
  out = _text([_ROW], tokenizer, _Terminal())
  assert "\x1b" not in out and "<s>![+?</s>+]" in out


def test_a_pipe_gets_brackets_and_what_was_cut(tokenizer):
  rows = [TextRow("!", "?!?!?!")]
  out = _text(rows, tokenizer, io.StringIO(), max_length=6)
  # BOS, one of the prompt, four of the answer.
  assert "<s>![+?!?!+][-?!</s>-]" in out


def test_commands_to_the_terminal_are_shown_and_not_sent(tokenizer):
  rows = [TextRow("\x1b]0;owned\x07", "\u202ea")]
  reason = "a.jsonl:1: \x1b[31m"
  out = _text(rows, tokenizer, io.StringIO(), refused=[reason])
  assert "\x1b" not in out and "\x07" not in out and "\u202e" not in out
  assert "<U+001B>]0;owned<U+0007>" in out and "<U+202E>a" in out


def test_letters_that_the_encoding_lacks_are_escaped(tokenizer):
  out = _text([TextRow("é", "→")], tokenizer, _Latin())
  assert "é" in out and "\\u2192" in out
  out.encode("latin-1")


def test_a_long_text_is_shortened_in_its_middle(tokenizer):
  rows = [TextRow("!" * 500, "?")]
  out = _text(rows, tokenizer, io.StringIO())
  # BOS, 500, 1 and EOS, of which 240 are shown.
  assert "[... 263 tokens ...]" in out
  assert "!" * 119 in out and "!" * 200 not in out


def test_no_rows_leave_the_findings(tokenizer):
  out = _text([_ROW, _ROW], tokenizer, io.StringIO(), num_rows=0)
  assert "---" not in out and "duplicate_rows" in out
  assert "verdict: warnings (exit status 3)" in out


def test_findings_say_what_to_do_and_where(tokenizer):
  out = _text([_ROW, _ROW], tokenizer, io.StringIO())
  assert "WARNING duplicate_rows: 1 of 2 (50.0%) rows are copies" in out
  assert "What to do: Remove the copies" in out and "See main row 2." in out
