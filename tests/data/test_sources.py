# SPDX-License-Identifier: Apache-2.0
"""A source from file to examples: what is kept, held out, and counted."""

import json

import numpy as np
import pytest

from ramjax.data import parse_rows, sources
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
from ramjax.data.tokenizers import load_tokenizer
from ramjax.data.train_tokenizer import train_sentencepiece

ASK = Message("user", "q")
SAID = (Message("assistant", "a", True),)


def _write(path, num, first=0):
  lines = [
    {"prompt": f"question {i} ", "completion": f"answer {i}", "id": i}
    for i in range(first, first + num)
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


def test_a_judged_row_renders_its_judgement():
  row = JudgedRow("p", "a", "It is no.", False)
  judged = "p\n\n### Judgement of the answer:\nIt is no.\n\n"
  assert list(sources.row_texts([row], template="plain")) == [judged, "a"]
  row = JudgedRow((ASK,), SAID, "It is no.", False)
  text = "User: q\n\n### Judgement of the answer:\nIt is no.\nAssistant:"
  assert list(sources.row_texts([row], template="plain")) == [text, " a"]
  fine = JudgedRow("p", "a", "", True)
  assert list(sources.row_texts([fine], template="plain")) == ["p", "a"]


_KINDS = {
  "pair": (lambda p, a, b: PreferenceRow(p, a, b), 2),
  "ranked": (lambda p, a, b: RankedRow(p, (a, b)), 2),
  "unpaired": (lambda p, a, b: UnpairedRow(p, a, True), 1),
  "rated": (lambda p, a, b: RatedRow(p, a, (1.0,)), 1),
  "judged": (lambda p, a, b: JudgedRow(p, a, "", True), 1),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_rows_of_every_kind_have_answers_texts_and_a_reference(kind):
  make, num = _KINDS[kind]
  other = (Message("assistant", "b", True),)
  row = make((ASK,), SAID, other)
  assert sources.answers_of(row) == (SAID, other)[:num]
  texts = list(sources.row_texts([row], template="plain"))
  assert (
    texts
    == ["User: q\nAssistant:", " a", "User: q\nAssistant:", " b"][: 2 * num]
  )
  assert sources.prompt_and_reference(row) == ((ASK,), "a")
  raw = make("p", "a", "b")
  assert sources.answers_of(raw) == ("a", "b")[:num]
  texts = list(sources.row_texts([raw], template="plain"))
  assert texts == ["p", "a", "p", "b"][: 2 * num]
  assert (
    list(sources.row_texts([make("", "a", "b")], template="plain"))
    == [
      "a",
      "b",
    ][:num]
  )
  assert sources.prompt_and_reference(raw) is None


@pytest.mark.parametrize(
  "row",
  [
    UnpairedRow((ASK,), SAID, False),
    JudgedRow((ASK,), SAID, "It is no.", False),
  ],
)
def test_a_bad_answer_is_no_reference(row):
  assert sources.prompt_and_reference(row) == ((ASK,), None)


def test_the_reference_of_an_answer_of_several_turns_is_its_first():
  turns = (*SAID, Message("user", "more"), Message("assistant", "b", True))
  row = PreferenceRow((ASK,), turns, SAID)
  assert sources.prompt_and_reference(row) == ((ASK,), "a")


def test_a_conversation_has_no_answers_of_its_own():
  assert sources.answers_of(TextRow("p", "a")) == ("a",)
  with pytest.raises(TypeError, match="ChatRow"):
    sources.answers_of(ChatRow((ASK, *SAID)))


def test_sources_take_turns():
  assert sources.in_turn([[1, 2, 3], [], [4], [None, 6]]) == [
    *(1, 4, None),
    *(2, 6),
    3,
  ]
  assert sources.in_turn([]) == []


def _load(tmp_path, **changes):
  options = dict(
    parse=parse_rows.parse_sft,
    eval_rows=0,
    eval_path=str(_write(tmp_path / "held.jsonl", 3, first=100)),
    max_bad_share=0.0,
    quarantine_dir=tmp_path,
  )
  path = str(_write(tmp_path / "rows.jsonl", 20))
  return sources.load_source("main", path, **{**options, **changes})


def test_rows_that_are_held_out_already_stay_so(tmp_path):
  loaded = _load(tmp_path)
  assert len(loaded.train) == 20
  assert [row.completion for row in loaded.held_out] == [
    f"answer {i}" for i in (100, 101, 102)
  ]
  assert [record["id"] for record in loaded.held_out_records] == [100, 101, 102]
  counts = {k: v for k, v in loaded.summary.items() if k.startswith("rows_")}
  assert counts == {
    "rows_read": 23,
    "rows_quarantined": 0,
    "rows_train": 20,
    "rows_held_out": 3,
    "rows_left_out": 0,
  }
  assert loaded.summary["eval_path"] == str(tmp_path / "held.jsonl")
  assert loaded.summary["eval_sha256"] != loaded.summary["sha256"]
  assert "eval_path" not in _load(tmp_path, eval_path="").summary


def test_a_prompt_that_is_held_out_is_not_trained_on(tmp_path):
  # Prompts 18 and 19 of 20 are held out, too; 20 is of no training row.
  held = _write(tmp_path / "other.jsonl", 3, first=18)
  loaded = _load(tmp_path, eval_path=str(held))
  assert [row.completion for row in loaded.train] == [
    f"answer {i}" for i in range(18)
  ]
  assert len(loaded.held_out) == 3
  assert loaded.summary["rows_train"] == 18
  assert loaded.summary["rows_left_out"] == 2


def test_held_out_rows_that_are_all_of_them_are_refused(tmp_path):
  held = _write(tmp_path / "other.jsonl", 25)
  with pytest.raises(ValueError, match=r"every prompt .* leaves none"):
    _load(tmp_path, eval_path=str(held))


def test_bad_rows_of_both_files_are_put_aside(tmp_path):
  held = _write(tmp_path / "other.jsonl", 3)
  with held.open("a") as file:
    file.write('{"prompt": 5, "completion": "x"}\n')
  loaded = _load(tmp_path, eval_path=str(held), max_bad_share=0.5)
  assert loaded.summary["rows_quarantined"] == 1
  assert len(loaded.held_out) == 3
  assert (tmp_path / "main-eval.jsonl").exists()
  with pytest.raises(ValueError, match=r"other\.jsonl"):
    _load(tmp_path, eval_path=str(held))


def test_rows_are_held_out_in_one_way(tmp_path):
  with pytest.raises(
    ValueError, match=r"data\.sources\.main has eval_path='.*' and eval_rows=2"
  ):
    _load(tmp_path, eval_rows=2)
