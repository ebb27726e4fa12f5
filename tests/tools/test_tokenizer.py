# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.tokenizer."""

import json

import pytest

from ramjax.data import tokenizers
from ramjax.tools import tokenizer

ROWS = [
  {"instruction": "Add.", "input": "1, 2", "output": "It is 3.\n\n  Yes."},
  {"prompt": "The quick ", "completion": "brown fox"},
  {
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Hello there"},
      {"role": "assistant", "content": "Hello"},
    ]
  },
] * 5


@pytest.fixture
def rows_path(tmp_path):
  path = tmp_path / "rows.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
  return path


def test_trains_on_every_kind_of_row(rows_path, tmp_path, capsys):
  out = tmp_path / "tok.model"
  argv = ["--rows", str(rows_path), "--vocab-size", "310", "--out", str(out)]
  assert tokenizer.main(argv) == 0
  loaded = tokenizers.load_tokenizer(out)
  printed = capsys.readouterr().out
  assert f"{out}: 310 tokens" in printed and loaded.digest in printed
  # Every letter of every row has a token: no byte (ids 4 to 259) is needed.
  for text in ("Add.", "1, 2", "It is 3.", "quick ", "fox", "Be brief."):
    assert min(loaded.encode(text, at_start=False)) > 259


def test_errors_are_one_line_and_exit_1(rows_path, tmp_path, capsys):
  out = tmp_path / "tok.model"
  for rows, size, message in (
    (rows_path, "5000", "vocab_size=5000 is more than these texts can fill"),
    (tmp_path / "no.jsonl", "310", "no.jsonl"),
  ):
    argv = ["--rows", str(rows), "--vocab-size", size, "--out", str(out)]
    assert tokenizer.main(argv) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("ramjax tokenizer: ") and message in printed
    assert printed.count("\n") == 1
  assert not out.exists()


def test_bad_rows_are_set_aside_only_when_allowed(rows_path, tmp_path, capsys):
  with rows_path.open("a") as file:
    file.write('{"prompt": "x", "completion": ""}\n')
  argv = ["--rows", str(rows_path), "--vocab-size", "310"]
  argv += ["--out", str(tmp_path / "tok.model")]
  assert tokenizer.main(argv) == 1
  assert "empty" in capsys.readouterr().err
  bad = tmp_path / "bad.jsonl"
  argv += ["--max-bad-share", "0.1", "--quarantine", str(bad)]
  assert tokenizer.main(argv) == 0
  assert len(bad.read_text().splitlines()) == 1


def test_help_shows_an_example(capsys):
  with pytest.raises(SystemExit) as exit_:
    tokenizer.main(["--help"])
  assert exit_.value.code == 0
  assert "ramjax tokenizer --rows train.jsonl" in capsys.readouterr().out
