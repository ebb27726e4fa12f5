# SPDX-License-Identifier: Apache-2.0
"""Evaluations as a report reads them: their names, and files that are none."""

import json
import os

import pytest

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  eval_result,
  report_evals,
  report_verdict_samples,
  report_verdicts,
)
from ramjax.tools.report_budget import Budget, Bytes

GOOD = Evaluation(
  "preference",
  "runs/mine",
  {"pairs": 40, "accuracy, %": 70.5, "mean margin": None, "scorer": "head"},
  tables={"by subset": [{"subset": "a", "accuracy, %": 1.0}]},
  counted={"ties": 2},
  notes=["A note."],
)


def write(folder, evaluation=GOOD):
  return eval_result.write(evaluation, folder, inputs=[], command=["x"])


def raw(folder, text):
  folder.mkdir(parents=True)
  (folder / "evaluation.json").write_text(text)


def record(**changed):
  empty = {"figures": {}, "tables": {}, "counted": {}, "notes": []}
  return json.dumps({"benchmark": "b", "model": "m", **empty, **changed})


def test_what_eval_writes_is_read_as_it_was(tmp_path):
  write(tmp_path / "a")
  found = report_evals.read_run({None: tmp_path})
  assert [one.evaluation for one in found.shown] == [GOOD]
  assert found.problems == []


def test_names_are_folders_without_the_step(tmp_path):
  for name in (
    "pairs/step_00000120",
    "pairs/step_00000040",
    "mt/step_00000040/my_model",
    "deep/er/still",
  ):
    write(tmp_path / name)
  found = report_evals.read_run({None: tmp_path}).shown
  assert [(one.name, one.step) for one in found] == [
    ("deep/er/still", None),
    ("mt/my_model", 40),
    ("pairs", 40),
    ("pairs", 120),
  ]
  last = report_evals.last_steps(found)
  assert [(one.name, one.step) for one in last][-1] == ("pairs", 120)
  assert len(last) == 3


def test_no_folder_has_no_evaluations(tmp_path):
  assert report_evals.read_run({None: tmp_path / "no"}) == ([], [])


@pytest.mark.parametrize(
  ("text", "why"),
  [
    ("", "Expecting value"),
    ("[" * 100_000, "nested"),
    ("[]", "the file is a list"),
    (record() + "{}", "text follows"),
    ('{"benchmark": "a", "benchmark": "b"}', "stands twice"),
    (record(figures={"a": float("nan")}), "NaN is not JSON"),
    (record(figures={"a": True}), "figures['a'] is a bool"),
    (record(figures={"a": [1]}), "figures['a'] is a list"),
    (record(figures={"a": 10**200}), "too large"),
    (record(figures=[]), "figures is a list"),
    (record(model=""), "model is a str"),
    (record(model="m" * 1001), "model is a str"),
    (record(benchmark=None), "benchmark is missing"),
    (record(tables={"t": [1]}), "a row of tables['t'] is a int"),
    (record(tables={"t": [{"a": {}}]}), "tables['t'], 'a' is a dict"),
    (record(counted={"r": -1}), "counted['r'] is a int"),
    (record(counted={"r": 1.0}), "counted['r'] is a float"),
    (record(notes="n"), "notes is a str"),
    (record(notes=[1]), "a note is a int"),
    ('{"benchmark": "b"}', "model is missing"),
  ],
)
def test_a_broken_file_is_named_and_the_rest_is_read(tmp_path, text, why):
  raw(tmp_path / "broken", text)
  write(tmp_path / "good")
  found = report_evals.read_run({None: tmp_path})
  assert [one.name for one in found.shown] == ["good"]
  (problem,) = found.problems
  assert str(tmp_path / "broken" / "evaluation.json") in problem
  assert why in problem
  assert len(problem) < 600


def test_bytes_that_are_no_text_are_named(tmp_path):
  raw(tmp_path / "broken", "")
  (tmp_path / "broken" / "evaluation.json").write_bytes(b'{"a": "\xff"}')
  assert "utf-8" in report_evals.read_run({None: tmp_path}).problems[0]


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
  monkeypatch.setattr(report_evals, "MAX_BYTES", 50)
  write(tmp_path / "a")
  (problem,) = report_evals.read_run({None: tmp_path}).problems
  assert "has more than 50 bytes" in problem


def test_what_is_no_regular_file_does_not_stop_a_page(tmp_path):
  (tmp_path / "pipe").mkdir()
  os.mkfifo(tmp_path / "pipe" / "evaluation.json")
  (problem,) = report_evals.read_run({None: tmp_path}).problems
  assert "no regular file" in problem


def test_links_to_folders_are_not_followed(tmp_path):
  write(tmp_path / "elsewhere" / "a")
  (tmp_path / "evals").mkdir()
  (tmp_path / "evals" / "link").symlink_to(tmp_path / "elsewhere")
  assert report_evals.read_run({None: tmp_path / "evals"}).shown == []


def test_more_evaluations_than_a_page_holds_are_said(tmp_path, monkeypatch):
  monkeypatch.setattr(report_evals, "MAX_FILES", 2)
  for name in "abc":
    write(tmp_path / name)
  found = report_evals.read_run({None: tmp_path})
  assert [one.name for one in found.shown] == ["a", "b"]
  assert "the first 2 are here" in found.problems[0]


def test_rows_with_other_columns_have_dashes_there(tmp_path):
  # As the matrix of an arena has, whose rows lack the model itself.
  rows = [{"model": "a", "over b": 0.75}, {"model": "b", "over a": 0.25}]
  raw(tmp_path / "arena", record(tables={"win_matrix": rows}))
  (found,) = report_evals.read_run({None: tmp_path}).shown
  assert found.evaluation.tables["win_matrix"] == [
    {"model": "a", "over b": 0.75, "over a": None},
    {"model": "b", "over b": None, "over a": 0.25},
  ]


def test_a_table_of_a_file_cannot_grow_beyond_it(tmp_path):
  rows = [{f"c{i}": 1} for i in range(1001)]
  raw(tmp_path / "wide", record(tables={"t": rows}))
  assert "cells" in report_evals.read_run({None: tmp_path}).problems[0]


def test_one_budget_is_for_all_evaluations(tmp_path):
  for name in "abcd":
    write(tmp_path / name)
  size = (tmp_path / "a" / "evaluation.json").stat().st_size
  budget = Budget(Bytes(2 * size + 1), Bytes(0))
  found = report_evals.read_run({None: tmp_path}, budget)
  assert [one.name for one in found.shown] == ["a", "b"]
  (problem,) = found.problems
  assert "2 evaluations are left out" in problem
  assert f"{tmp_path / 'c' / 'evaluation.json'}, …" in problem


def test_a_page_has_one_budget_for_the_verdicts_of_all(tmp_path):
  row = {
    "instruction": "p",
    "output_1": "a",
    "output_2": "b",
    "generator_1": "base",
    "generator_2": "mine",
    "preference": 2.0,
  }
  for name in "abc":
    write(tmp_path / name, Evaluation("win_rate", "m", {}))
    (tmp_path / name / "annotations.json").write_text(json.dumps([row]))
  size = (tmp_path / "a" / "annotations.json").stat().st_size
  budget = Budget(Bytes(1 << 20), Bytes(2 * size - 1))
  found = report_evals.read_run({None: tmp_path}, budget)
  assert [one.verdicts is None for one in found.shown] == [False, True, True]
  (problem,) = found.problems
  assert "The verdicts of 2 evaluations are left out" in problem
  assert "b/annotations.json has" in problem


def test_a_run_s_page_keeps_the_verdicts_that_it_shows(tmp_path):
  rows = [
    {
      "instruction": f"p{i}",
      "output_1": "a" * 10,
      "output_2": "b" * i,
      "generator_1": "base",
      "generator_2": "mine",
      "preference": 1.0 + i / 100,
    }
    for i in range(100)
  ]
  write(tmp_path / "a", Evaluation("win_rate", "m", {}))
  (tmp_path / "a" / "annotations.json").write_text(json.dumps(rows))
  (whole,) = report_evals.read_run({None: tmp_path}, whole=True).shown
  (few,) = report_evals.read_run({None: tmp_path}).shown
  assert whole.verdicts is not None and few.verdicts is not None
  assert len(whole.verdicts.rows) == 100
  assert (len(few.verdicts.rows), few.verdicts.left) == (10, 90)
  assert report_verdicts.chosen(few.verdicts) == few.verdicts.rows
  assert report_verdicts.chosen(whole.verdicts) == few.verdicts.rows
  # All of them are in the groups by length.
  assert len(few.lengths) == 5 and few.lengths == whole.lengths
  assert sum(int(row.detail.split()[0]) for row in few.lengths) == 100
  assert "10 of 100 verdicts on mine" in report_verdict_samples.table(
    few.verdicts
  )


def test_a_round_is_the_step_of_its_last_evaluation(tmp_path):
  for number, name in ((1, "step_00000040"), (1, "step_00000080"), (10, "")):
    write(tmp_path / f"round_{number}" / "pairs" / name)
  write(tmp_path / "all" / "pairs")
  folders = {None: tmp_path / "all"} | {
    i: tmp_path / f"round_{i}" for i in (1, 2, 10)
  }
  found = report_evals.read_run(folders)
  assert [(one.name, one.step, one.axis) for one in found.shown] == [
    ("pairs", None, "step"),
    ("pairs", 1, "round"),
    ("pairs", 10, "round"),
  ]
  assert found.shown[1].folder.name == "step_00000080"
