# SPDX-License-Identifier: Apache-2.0
"""Answers for a benchmark: made now, continued, or read; never of other rows."""

import argparse
import json

import pytest
import tiny_model_folder

from ramjax.evals import bounded_records
from ramjax.tools import eval as eval_tool
from ramjax.tools import eval_answers

_RECORDS = [{"prompt": "word 0", "key": 1}, {"prompt": "word 1", "key": 2}]


def _write(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


def _answered(rows):
  return [{**row, "responses": [{"text": f"to {row['key']}"}]} for row in rows]


def _args(model, out=None):
  parser = argparse.ArgumentParser()
  eval_answers.add_options(parser)
  return parser.parse_args(
    [f"--model={model}", *([f"--out={out}"] if out else [])]
  )


@pytest.fixture
def data(tmp_path):
  return _write(tmp_path / "data.jsonl", _RECORDS)


def test_answers_of_a_file_come_with_the_records(data, tmp_path):
  made = _write(tmp_path / "made.jsonl", _answered(_RECORDS))
  found = eval_answers.answers(_args(made), [], data, max_tokens=4)
  assert found.records == _RECORDS
  assert found.responses == ["to 1", "to 2"]
  assert (found.file, found.notes, found.model_identity) == (made, [], None)


@pytest.mark.parametrize(
  ("rows", "problem"),
  [
    (_answered(_RECORDS[::-1]), "row 1 answers another record"),
    (_answered(_RECORDS[:1]), "has 1 rows and the benchmark's file 2"),
    (_answered([*_RECORDS, {"key": 3}]), "has 3 rows and the benchmark's"),
    (_RECORDS, "row 1 has no answer"),
    ([{**_RECORDS[0], "responses": []}], "row 1 has no answer"),
    ([{**_RECORDS[0], "responses": ["x"]}], "row 1 has no answer"),
    ([{**_RECORDS[0], "responses": [{"text": None}]}], "row 1 has no answer"),
  ],
)
def test_answers_to_anything_else_are_refused(data, tmp_path, rows, problem):
  made = _write(tmp_path / "made.jsonl", rows)
  with pytest.raises(ValueError, match=problem):
    eval_answers.answers(_args(made), [], data, max_tokens=4)


def test_options_for_answers_that_are_there_are_refused(data, tmp_path):
  made = _write(tmp_path / "made.jsonl", _answered(_RECORDS))
  with pytest.raises(ValueError, match="--slots=2 would change answers"):
    eval_answers.answers(_args(made), ["--slots=2"], data, max_tokens=4)


def test_a_model_answers_and_a_second_call_answers_nothing_again(
  data, tmp_path, monkeypatch, capsys
):
  folder = tmp_path / "model"
  tiny_model_folder.write(folder)
  args = _args(folder, tmp_path / "out" / "here")
  more = ["--template=plain", "--slots=2"]
  found = eval_answers.answers(args, more, data, max_tokens=4)
  first = found.responses
  assert found.records == _RECORDS
  assert all(isinstance(text, str) for text in first)
  assert found.file == args.out / eval_answers.FILE
  assert found.notes == []
  assert found.model_identity is not None
  assert set(found.model_identity["model"]) == {
    "fingerprint",
    "tokenizer",
    "template",
  }
  assert found.model_identity["options"]["temperature"] == 0
  # Nobody may be reading stdout, and that must not lose the answers.
  assert capsys.readouterr().out == ""
  rows = eval_answers.read(args.out / eval_answers.FILE)
  assert [row["key"] for row in rows] == [1, 2]
  assert all(row["responses"][0]["num_tokens"] <= 4 for row in rows)
  monkeypatch.setattr(
    "ramjax.evals.local_engine.LocalEngine.complete", pytest.fail
  )
  again = eval_answers.answers(args, more, data, max_tokens=4)
  assert again.responses == first


def test_a_model_needs_a_folder_for_its_answers(data, tmp_path):
  with pytest.raises(ValueError, match="--out=DIR is missing"):
    eval_answers.answers(_args(tmp_path / "model"), [], data, max_tokens=4)


def test_a_model_that_cannot_answer_ends_the_evaluation(data, tmp_path, capsys):
  args = _args(tmp_path / "nothing", tmp_path / "out")
  with pytest.raises(ValueError, match="no answers"):
    eval_answers.answers(args, [], data, max_tokens=4)
  assert str(tmp_path / "nothing") in capsys.readouterr().err


@pytest.mark.parametrize(
  ("text", "problem"),
  [
    ('{"a": NaN}\n', "data.jsonl:1"),
    ("[1]\n", "data.jsonl:1 is no JSON object"),
    ("\n", "holds no records"),
  ],
)
def test_a_file_that_is_no_benchmark_is_refused(tmp_path, text, problem):
  path = tmp_path / "data.jsonl"
  path.write_text(text)
  with pytest.raises(ValueError, match=problem):
    eval_answers.read(path)


@pytest.mark.parametrize(
  "name",
  ["--output", "--prompts", "--limit", "--samples", "--model", "--endpoint"],
)
@pytest.mark.parametrize("joined", [True, False])
def test_an_option_that_would_score_something_else_is_refused(
  data, tmp_path, monkeypatch, name, joined
):
  monkeypatch.setattr("ramjax.tools.generate.main", pytest.fail)
  args = _args(tmp_path / "model", tmp_path / "out")
  more = [f"{name}=2"] if joined else [name, "2"]
  with pytest.raises(ValueError, match=f"^{name}.* cannot be given"):
    eval_answers.answers(args, more, data, max_tokens=4)
  assert not args.out.exists()


def test_a_mistyped_option_is_an_error_of_the_evaluation(
  data, tmp_path, capsys
):
  argv = [f"--data={data}", f"--model={tmp_path / 'm'}", "--temprature=1"]
  data.write_text('{"question": "1 + 1?", "answer": "#### 2"}\n')
  assert eval_tool.main(["gsm8k", *argv, f"--out={tmp_path / 'out'}"]) == 1
  shown = capsys.readouterr().err
  assert shown.startswith("ramjax eval gsm8k: unrecognized arguments: --tempra")
  assert shown.count("\n") == 1


def test_there_is_an_end_to_the_rows(data, monkeypatch):
  monkeypatch.setattr(bounded_records, "MAX_ROWS", 1)
  with pytest.raises(ValueError, match="split the file"):
    eval_answers.read(data)


def test_sampled_answers_are_noted(data, tmp_path):
  folder = tmp_path / "model"
  tiny_model_folder.write(folder)
  args = _args(folder, tmp_path / "out")
  more = ["--template=plain", "--slots=2", "--temperature=0.5"]
  found = eval_answers.answers(args, more, data, max_tokens=4)
  (note,) = found.notes
  assert "answers were sampled at temperature 0.5" in note
  # The file says so, too.
  again = eval_answers.answers(_args(found.file), [], data, max_tokens=4)
  assert again.notes == [note]
  assert again.model_identity == found.model_identity


@pytest.mark.parametrize("name", ["made.json", "made.jsonl.gz"])
def test_answers_in_another_kind_of_file_are_refused(tmp_path, name):
  (tmp_path / name).write_text("[]")
  with pytest.raises(ValueError, match=r"must be a \.jsonl that"):
    eval_answers.prepare(
      _args(tmp_path / name), benchmark="b", files=[], inputs=[]
    )


def test_what_is_read_is_not_written_over(data, tmp_path):
  made = _write(tmp_path / eval_answers.FILE, _answered(_RECORDS))
  args = _args(made, tmp_path)
  eval_answers.prepare(args, benchmark="b", files=["x"], inputs=[data])
  for name in (data.name, made.name):
    with pytest.raises(ValueError, match=f"{name} would be written"):
      eval_answers.prepare(args, benchmark="b", files=[name], inputs=[data])
  asked = _args(tmp_path / "model", tmp_path)
  with pytest.raises(ValueError, match=f"{made.name} would be written"):
    eval_answers.prepare(asked, benchmark="b", files=[], inputs=[made])
