# SPDX-License-Identifier: Apache-2.0
"""An evaluation as text, and as a file that says what it was made from."""

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
