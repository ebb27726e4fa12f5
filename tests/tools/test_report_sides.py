# SPDX-License-Identifier: Apache-2.0
"""What a comparison takes, what it calls it, and what it refuses."""

import pytest

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_result, report_sides


@pytest.fixture
def make(tmp_path):
  """Makes a run's folder, or an evaluation's."""

  def made(name, *, run=True):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    if run:
      (folder / "metrics.jsonl").write_text('{"step": 1, "train/loss": 1.0}\n')
    else:
      found = Evaluation("gsm8k", name, {"accuracy, %": 5.0})
      eval_result.write(found, folder, inputs=[], command=["x"])
    return folder

  return made


def test_runs_and_evaluations_stand_beside_each_other(make):
  sides = report_sides.read([make("a"), make("b", run=False)])
  assert [side.name for side in sides] == ["a", "b"]
  assert sides[0].run is not None and sides[0].evaluations == []
  assert sides[1].run is None
  assert [one.evaluation.model for one in sides[1].evaluations] == ["b"]


def test_names_are_the_ends_of_paths_that_differ(make):
  folders = [make("x/evals/a"), make("y/evals/a"), make("y/evals/b")]
  sides = report_sides.read(folders)
  assert [side.name for side in sides] == [
    "x/evals/a",
    "y/evals/a",
    "y/evals/b",
  ]


def test_a_folder_that_is_neither_is_refused(make, tmp_path):
  with pytest.raises(FileNotFoundError, match=r"neither a run's folder.*nor"):
    report_sides.read([make("a"), tmp_path])


def test_the_same_folder_twice_is_refused(make, tmp_path):
  folder = make("a")
  (tmp_path / "link").symlink_to(folder)
  for again in (folder, folder / ".." / "a", tmp_path / "link"):
    with pytest.raises(ValueError, match="give each once"):
      report_sides.read([folder, again])


def test_more_than_there_are_colours_are_refused(make):
  folders = [make(f"r{i}") for i in range(9)]
  assert len(report_sides.read(folders[:8])) == 8
  with pytest.raises(ValueError, match=r"9 folders are given.*at most 8"):
    report_sides.read(folders)


def test_an_evaluation_that_is_named_must_be_one(make):
  folder = make("b", run=False)
  (folder / "evaluation.json").write_text("{}")
  with pytest.raises(ValueError, match="benchmark is missing"):
    report_sides.read([make("a"), folder])


def test_a_run_that_was_evaluated_in_its_own_folder_is_a_run(make):
  folder = make("a")
  found = Evaluation("gsm8k", "m", {})
  eval_result.write(found, folder, inputs=[], command=["x"])
  assert not report_sides.is_evaluation(folder)
  assert report_sides.read([folder, make("b")])[0].run is not None
