# SPDX-License-Identifier: Apache-2.0
"""Prompts with a limit: read, refused, and made."""

import json

import pytest

from ramjax.evals import length_instructed_files as files
from ramjax.evals.model_outputs import ModelOutput


def _row(name="a", limit=3, **more):
  return {
    "dataset": "koala",
    "instruction": files.prompt(f"Do {name}.", limit),
    "output": f"Done {name}.",
    "generator": "AlpacaEval-LI",
    "max_len": limit,
    "original_instruction": f"Do {name}.",
    **more,
  }


def _question(key=81, **more):
  return {
    "question_id": key,
    "category": "writing",
    "turns": [files.prompt("Write.", 3)],
    "max_len": [3],
    "original_turns": ["Write.", "Again."],
    **more,
  }


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def test_the_line_of_the_limit_is_the_published_one():
  assert files.prompt("Say hi.", 56) == (
    "Answer the following instruction using 56 words or less.\n\nSay hi."
  )


def test_alpaca_prompts_come_in_order_with_their_baseline(tmp_path):
  path = _write(tmp_path / "li.jsonl", [_row("b"), _row("a", 12)])
  prompts, name = files.read_alpaca(path)
  assert name == "AlpacaEval-LI"
  assert [p.max_len for p in prompts] == [3, 12]
  assert [p.baseline for p in prompts] == ["Done b.", "Done a."]
  assert prompts[0].key == prompts[0].instruction == _row("b")["instruction"]
  assert {p.group for p in prompts} == {"koala"}


@pytest.mark.parametrize(
  "row,match",
  [
    (_row(instruction="Do b."), r"jsonl:2.*'Do b\.'.* must begin with 'Answer"),
    (
      _row("b", max_len=4, instruction=files.prompt("x", 5)),
      "max_len=4 it must",
    ),
    (_row(instruction=files.prompt("", 3)), "must begin with .* and go on"),
    (_row("b", max_len=0), "max_len=0 must be a whole number"),
    (_row("b", max_len=True), "max_len=True must be"),
    (_row("b", max_len="3"), "max_len='3' must be"),
    (_row("b", output=None), "output=None must be a string"),
    (_row("b", dataset=3), "dataset=3 must be a string"),
    (_row("b", generator="other"), "generator='other' and .*jsonl:1 has 'Alp"),
    (_row("a"), "has the instruction of .*jsonl:1"),
    ({"instruction": "x", "output": "y"}, "'max_len': it is a plain instruct"),
  ],
)
def test_alpaca_rows_that_are_none_are_refused_by_row(tmp_path, row, match):
  path = _write(tmp_path / "li.jsonl", [_row("a"), row])
  with pytest.raises(ValueError, match=match):
    files.read_alpaca(path)


def test_questions_come_with_their_category(tmp_path):
  # One instruction with one limit may be there twice, of two models.
  path = _write(tmp_path / "q.jsonl", [_question(81), _question(161)])
  prompts = files.read_mt_bench(path)
  assert [(p.key, p.group, p.max_len) for p in prompts] == [
    (81, "writing", 3),
    (161, "writing", 3),
  ]
  got = files.with_baseline(prompts, {161: "b", 81: "a", 5: "x"}, "--reference")
  assert [p.baseline for p in got] == ["a", "b"]
  with pytest.raises(ValueError, match=r"no answer to 1 of 2 .*id=161"):
    files.with_baseline(prompts, {81: "a"}, "--reference")


@pytest.mark.parametrize(
  "row,match",
  [
    (_question(82, turns=["Write."]), r"jsonl:2.*must begin with"),
    (_question(82, turns=["a", "b"]), "must be lists of one entry"),
    (_question(82, max_len=[3, 3]), "must be lists of one entry"),
    (_question(82, max_len=3), "must be lists of one entry"),
    (_question(81), "question_id=81 stands in .*jsonl:1"),
    (_question(question_id="82"), "question_id is"),
  ],
)
def test_questions_that_are_none_are_refused_by_row(tmp_path, row, match):
  path = _write(tmp_path / "q.jsonl", [_question(81), row])
  with pytest.raises(ValueError, match=match):
    files.read_mt_bench(path)


def test_answers_are_read_from_either_kind_of_file(tmp_path):
  plain = [{"instruction": "a", "output": "mine", "generator": "m"}]
  assert files.read_answers(_write(tmp_path / "a.jsonl", plain)) == [
    ModelOutput("a", "mine", "m")
  ]
  # Here 'output' is the baseline's.
  made = [{**_row(), "responses": [{"text": "mine"}, {"text": "another"}]}]
  assert files.read_answers(_write(tmp_path / "b.jsonl", made)) == [
    ModelOutput(_row()["instruction"], "mine")
  ]


@pytest.mark.parametrize(
  "row,match",
  [
    (_row("b"), "jsonl:2 has no answer"),
    (_row("b", responses=[]), "jsonl:2 has no answer"),
    (_row("b", responses=[{"text": 1}]), "text=1 must be a string"),
    (_row("a", responses=[{"text": "x"}]), "has the instruction of"),
  ],
)
def test_generated_answers_that_are_none_are_refused(tmp_path, row, match):
  rows = [_row(responses=[{"text": "mine"}]), row]
  with pytest.raises(ValueError, match=match):
    files.read_answers(_write(tmp_path / "a.jsonl", rows))


def test_prompts_are_made_of_the_shortest_answers(tmp_path):
  first = [
    ModelOutput("a", "one two three", "x", "koala"),
    ModelOutput("b", "one two", "x"),
    ModelOutput("c", "one", "x"),
    ModelOutput("d", "...", "x"),
  ]
  second = [
    ModelOutput("b", "it's", "y"),
    ModelOutput("a", "one, two!", "y"),
    ModelOutput("d", "word", "y"),
    ModelOutput("e", "word", "y"),
  ]
  records, num_left_out = files.make_records([first, second])
  # Not c and e, which one has; nor d, whose shortest answer has no word.
  assert num_left_out == 3
  assert [r["original_instruction"] for r in records] == ["a", "b"]
  assert [r["max_len"] for r in records] == [2, 2]
  # As short as the other: the first model's.
  assert [r["output"] for r in records] == ["one, two!", "one two"]
  prompts, name = files.read_alpaca(_write(tmp_path / "li.jsonl", records))
  assert name == "shortest answer"
  assert [p.group for p in prompts] == ["koala", None]
  with pytest.raises(ValueError, match="none of the 5 instructions"):
    files.make_records([first[2:3], second])
