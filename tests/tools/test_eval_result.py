# SPDX-License-Identifier: Apache-2.0
"""An evaluation as text, and as a file that says what it was made from."""

import dataclasses
import hashlib
import json

import pytest

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_result

_EVALUATION = Evaluation(
  benchmark="quiz",
  model="mine",
  figures={"accuracy, %": 61.25, "questions": 1200, "judge": None},
  tables={
    "by topic": [{"topic": "maths", "right": 3}, {"topic": "x", "right": 40}]
  },
  counted={"rows have no verdict": 2},
  notes=["A sentence."],
)


def test_figures_tables_counts_and_notes_follow_each_other():
  assert eval_result.lines(_EVALUATION) == [
    "quiz: mine",
    "",
    "  accuracy, %       61.2500",
    "  questions           1,200",
    "  judge                   -",
    "",
    "by topic",
    "  topic  right",
    "  maths      3",
    "  x         40",
    "",
    "2 rows have no verdict",
    "",
    "A sentence.",
  ]


def test_what_is_empty_takes_no_room():
  bare = Evaluation(benchmark="quiz", model="mine", figures={"n": 1})
  assert eval_result.lines(bare) == ["quiz: mine", "", "  n             1"]


def test_the_file_says_what_it_was_made_from(tmp_path):
  data = tmp_path / "data.jsonl"
  data.write_text("rows")
  path = eval_result.write(
    _EVALUATION,
    tmp_path / "new" / "folder",
    inputs=[data],
    command=["ramjax", "eval", "quiz"],
  )
  assert [p.name for p in path.parent.iterdir()] == ["evaluation.json"]
  record = json.loads(path.read_text())
  assert record["figures"] == dict(_EVALUATION.figures)
  assert record["tables"] == {"by topic": _EVALUATION.tables["by topic"]}
  assert record["inputs"] == {str(data): hashlib.sha256(b"rows").hexdigest()}
  assert record["command"] == ["ramjax", "eval", "quiz"]
  assert record["versions"]["ramjax"]


def test_a_figure_that_is_no_number_is_never_written(tmp_path):
  broken = Evaluation(
    benchmark="quiz", model="mine", figures={"n": float("nan")}
  )
  with pytest.raises(ValueError, match="JSON compliant"):
    eval_result.write(broken, tmp_path, inputs=[], command=[])
  assert not list(tmp_path.iterdir())


def test_a_count_of_0_is_left_out():
  counted = {"rows are bad": 0, "rows are good": 1}
  shown = eval_result.lines(dataclasses.replace(_EVALUATION, counted=counted))
  assert "1 rows are good" in shown
  assert not any("rows are bad" in line for line in shown)


def test_what_a_terminal_would_obey_is_escaped():
  evil = "a\x1b[31m\n\u202eb\ud800"
  shown = eval_result.lines(
    Evaluation(
      benchmark=evil,
      model=evil,
      figures={evil: evil},
      tables={evil: [{evil: evil}]},
      counted={evil: 1},
      notes=[evil],
    )
  )
  assert all(line.isprintable() for line in shown)
  assert "a\\x1b[31m\\n\\u202eb\\ud800" in shown[0]


def test_an_output_that_is_an_input_is_refused(tmp_path):
  data = tmp_path / "data.jsonl"
  data.write_text("rows")
  link = tmp_path / "link.jsonl"
  link.symlink_to(data)
  with pytest.raises(ValueError, match=r"link.jsonl would be .*data.jsonl"):
    eval_result.refuse_inputs([tmp_path / "new", link], [data])
  eval_result.refuse_inputs([tmp_path / "new"], [data, tmp_path / "none"])


def test_a_folder_is_made_and_checked_before_anything_is_computed(tmp_path):
  def prepare(folder, **other):
    told = {"benchmark": "quiz", "model": "mine", "files": ["x"], "inputs": []}
    eval_result.prepare(folder, **{**told, **other})

  out = tmp_path / "new" / "out"
  prepare(out)
  assert not list(out.iterdir())
  eval_result.write(_EVALUATION, out, inputs=[], command=[])
  prepare(out)
  with pytest.raises(ValueError, match="of 'mine', which 'quiz' of 'yours'"):
    prepare(out, model="yours")
  (out / "x").touch()
  with pytest.raises(ValueError, match="x would be written"):
    prepare(out, inputs=[out / "x"])
  with pytest.raises(OSError, match="x"):
    prepare(out / "x")


@pytest.mark.parametrize("other", [{"benchmark": "test"}, {"model": "yours"}])
def test_an_evaluation_of_something_else_is_not_replaced(tmp_path, other):
  path = eval_result.write(_EVALUATION, tmp_path, inputs=[], command=["a"])
  before = path.read_bytes()
  with pytest.raises(ValueError, match=r"'quiz' of 'mine', .* --out"):
    eval_result.write(
      dataclasses.replace(_EVALUATION, **other), tmp_path, inputs=[], command=[]
    )
  assert path.read_bytes() == before
  eval_result.write(_EVALUATION, tmp_path, inputs=[], command=["b"])
  assert json.loads(path.read_text())["command"] == ["b"]


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"benchmark": "quiz"}'])
def test_a_file_that_is_no_evaluation_is_not_replaced(tmp_path, text):
  (tmp_path / "evaluation.json").write_text(text)
  with pytest.raises(ValueError, match="is no evaluation"):
    eval_result.write(_EVALUATION, tmp_path, inputs=[], command=[])
  assert (tmp_path / "evaluation.json").read_text() == text


def test_the_model_is_recorded(tmp_path):
  path = eval_result.write(
    _EVALUATION,
    tmp_path,
    inputs=[],
    command=[],
    model_identity={"fingerprint": "ab12", "step": 7},
  )
  identity = json.loads(path.read_text())["model_identity"]
  assert identity == {"fingerprint": "ab12", "step": 7}
