# SPDX-License-Identifier: Apache-2.0
"""A source from file to examples: what is kept, held out, and counted."""

import json

import numpy as np
import pytest

from ramjax.data import parse_rows, sources
from ramjax.data.rows import ChatRow, Message, TextRow
from ramjax.data.tokenizers import load_tokenizer
from ramjax.data.train_tokenizer import train_sentencepiece


def _write(path, num):
  lines = [
    {"prompt": f"question {i} ", "completion": f"answer {i}", "id": i}
    for i in range(num)
  ]
  path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
  return path


def test_every_row_is_on_one_side_and_counted(tmp_path):
  loaded = sources.load_source(
    "main",
    str(_write(tmp_path / "rows.jsonl", 20)),
    parse=parse_rows.parse_sft,
    eval_rows=5,
    max_bad_share=0.0,
    quarantine_dir=tmp_path,
  )
  assert len(loaded.train) == 15 and len(loaded.held_out) == 5
  assert not set(loaded.train) & set(loaded.held_out)
  for row, record in zip(loaded.held_out, loaded.held_out_records, strict=True):
    assert row.completion == record["completion"] and "id" in record
  counts = {k: v for k, v in loaded.summary.items() if k.startswith("rows_")}
  assert counts == {
    "rows_read": 20,
    "rows_quarantined": 0,
    "rows_train": 15,
    "rows_held_out": 5,
  }


def test_a_changed_file_has_another_fingerprint(tmp_path):
  def fingerprint(num):
    path = str(_write(tmp_path / "rows.jsonl", num))
    return sources.load_source(
      "main",
      path,
      parse=parse_rows.parse_sft,
      eval_rows=0,
      max_bad_share=0.0,
      quarantine_dir=tmp_path,
    ).summary["sha256"]

  assert fingerprint(20) == fingerprint(20) != fingerprint(21)


def test_truncated_rows_and_tokens_are_counted(tmp_path):
  texts = ["abcdefgh " * 20]
  path = tmp_path / "t.model"
  train_sentencepiece(texts, path=path, vocab_size=280)
  rows = [TextRow("", "abcdefgh"), TextRow("", "abcdefgh " * 10)]
  tokenizer = load_tokenizer(path)
  whole, _ = sources.tokenize_rows(
    rows, template="plain", tokenizer=tokenizer, max_length=1000, label="x"
  )
  cut, counts = sources.tokenize_rows(
    rows,
    template="plain",
    tokenizer=tokenizer,
    max_length=len(whole[1].tokens) - 3,
    label="x",
  )
  assert counts["rows_truncated"] == 1
  assert counts["tokens_truncated"] == 3
  assert counts["tokens"] == sum(len(e.tokens) for e in cut)
  assert counts["supervised_tokens"] == sum(
    int(np.sum(e.response_mask)) for e in cut
  )


def test_texts_for_a_tokenizer_are_what_is_rendered():
  rows = [
    TextRow("", "only"),
    ChatRow((Message("user", "q"), Message("assistant", "a", True))),
  ]
  texts = list(sources.row_texts(rows, template="plain"))
  assert texts == ["only", "User: q\nAssistant:", " a"]


def test_a_chat_row_asks_what_precedes_its_first_answer():
  asked = (Message("system", "s"), Message("user", "q"))
  row = ChatRow((*asked, Message("assistant", "a", True)))
  assert sources.prompt_and_reference(row) == (asked, "a")


@pytest.mark.parametrize(
  "row", [TextRow("p", "c"), ChatRow((Message("assistant", "a", True),))]
)
def test_rows_without_a_question_ask_nothing(row):
  assert sources.prompt_and_reference(row) is None
