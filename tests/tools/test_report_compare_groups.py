# SPDX-License-Identifier: Apache-2.0
"""Evaluations that stand side by side, and those that do not compare."""

import json
import pathlib

import pytest
from tiny_page import Seen

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  eval_result,
  report,
  report_compare_groups,
  report_sides,
)


@pytest.fixture
def evaluate(tmp_path):
  """Writes an evaluation; the run above `evals` is made where it is missing."""

  def written(name, value=50.0, benchmark="preference", data="", model="m"):
    folder = tmp_path / name
    if "evals" in pathlib.PurePath(name).parts:
      run = tmp_path / pathlib.PurePath(name).parts[0]
      run.mkdir(exist_ok=True)
      (run / "metrics.jsonl").write_text('{"step": 1, "train/loss": 1.0}\n')
    command, inputs = ["ramjax", "eval", benchmark], []
    if data:
      inputs = [tmp_path / f"{data}.jsonl"]
      inputs[0].write_text(data)
      command.append(f"--data={inputs[0]}")
    found = Evaluation(benchmark, model, {"accuracy, %": value})
    eval_result.write(found, folder, inputs=inputs, command=command)
    return folder

  return written


def found(*folders):
  groups = report_compare_groups.groups(report_sides.read(folders))
  values = {
    group.title: [
      one and one.evaluation.figures["accuracy, %"] for one in group.sides
    ]
    for group in groups
  }
  return values, [report_compare_groups.warning(group) for group in groups]


def test_evaluations_of_runs_meet_by_name_alone(evaluate):
  a = evaluate("A/evals/helpful", 90.0).parents[1]
  b = evaluate("B/evals/harmless", 10.0).parents[1]
  assert found(a, b)[0] == {
    "preference: helpful": [90.0, None],
    "preference: harmless": [None, 10.0],
  }
  evaluate("B/evals/helpful", 80.0)
  assert found(a, b)[0]["preference: helpful"] == [90.0, 80.0]


def test_steps_and_models_do_not_keep_runs_apart(evaluate):
  a = evaluate("A/evals/mt/A-model", 1.0, "mt_bench", model="A-model")
  b = evaluate(
    "B/evals/mt/step_00000007/B-model", 2.0, "mt_bench", model="B-model"
  )
  values, _ = found(a.parents[2], b.parents[3])
  assert values == {"mt_bench: mt": [1.0, 2.0]}


def test_folders_given_alone_meet_by_benchmark(evaluate):
  assert found(evaluate("x", 1.0), evaluate("y", 2.0))[0] == {
    "preference": [1.0, 2.0]
  }
  assert len(found(evaluate("x", 1.0), evaluate("z", 2.0, "gsm8k"))[0]) == 2


def test_a_folder_alone_meets_the_only_name_of_runs_or_its_own(evaluate):
  a = evaluate("A/evals/helpful", 1.0).parents[1]
  alone = evaluate("alone/deep/harmless", 2.0)
  assert found(a, alone)[0] == {"preference: helpful": [1.0, 2.0]}
  evaluate("A/evals/deep/harmless", 3.0)
  assert found(a, alone)[0] == {
    "preference: deep/harmless": [3.0, 2.0],
    "preference: helpful": [1.0, None],
  }
  other = evaluate("alone/else", 4.0)
  assert found(a, other)[0]["preference: else"] == [None, 4.0]


def test_other_data_are_said_not_to_compare(evaluate, tmp_path):
  a = evaluate("A/evals/pairs", 90.0, data="helpful").parents[1]
  b = evaluate("B/evals/pairs", 10.0, data="harmless").parents[1]
  c = evaluate("C/evals/pairs", 10.0, data="helpful").parents[1]
  assert found(a, c)[1] == [""]
  (told,) = found(a, b)[1]
  assert told == (
    "Other data, baseline or judge (--data): the figures do not compare."
  )
  out = tmp_path / "page.html"
  assert report.main([str(a), str(b), f"--out={out}"]) == 0
  text = Seen(out.read_text(encoding="utf-8")).text
  # In the article, and in the table of all.
  assert told in text
  assert "accuracy: other data, baseline or judge" in text
  assert report.main([str(a), str(c), f"--out={out}"]) == 0
  assert "other data" not in Seen(out.read_text(encoding="utf-8")).text.lower()


def test_verdicts_against_another_baseline_or_by_another_judge(evaluate):
  def judged(name, baseline, judge):
    folder = evaluate(name, 50.0, "win_rate")
    row = {
      "instruction": "p",
      "output_1": "a",
      "output_2": "b",
      "generator_1": baseline,
      "generator_2": name,
      "annotator": judge,
      "preference": 2.0,
    }
    (folder / "annotations.json").write_text(json.dumps([row]))
    return folder

  a, b, c, d = (
    judged(*of)
    for of in (
      ("a", "base", "j"),
      ("b", "base", "j"),
      ("c", "base", "k"),
      ("d", "other", "j"),
    )
  )
  assert found(a, b)[1] == [""]
  assert (
    "against base, judged by j; against base, judged by k"
    in (found(a, c)[1][0])
  )
  assert (
    "against base, judged by j; against other, judged by j"
    in (found(a, d)[1][0])
  )


def test_what_a_stranger_s_command_names_stays_text(evaluate, tmp_path):
  a, b = evaluate("a", 1.0, data="x"), evaluate("b", 2.0, data="y")
  for folder in (a, b):
    path = folder / "evaluation.json"
    path.write_text(path.read_text().replace("--data=", "--<img>="))
  out = tmp_path / "page.html"
  assert report.main([str(a), str(b), f"--out={out}"]) == 0
  seen = Seen(out.read_text(encoding="utf-8"))
  assert "Other data, baseline or judge (--<img>)" in seen.text
  assert "img" not in seen.tags
