# SPDX-License-Identifier: Apache-2.0
"""Runs and evaluations compared on one page."""

import json
import re

import pytest
from tiny_page import EVIL, Seen

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  eval_result,
  report,
  report_compare_groups,
  report_compare_runs,
  report_sides,
)
from ramjax.tools.report_run import Curve, Run
from ramjax.tools.report_sides import Side


def run_of(name, curves, config=None):
  run = Run(name, curves, None, [], config, None, [])
  return Side(name, run, [], [])


def write_run(folder, losses, config=None, samples=()):
  folder.mkdir(parents=True)
  lines = [
    {"step": i, "train/loss": loss, "eval/loss": loss + 1}
    for i, loss in enumerate(losses, 1)
  ]
  (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
  (folder / "config.json").write_text(json.dumps(config or {}))
  (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, samples)))
  return folder


def evaluate(folder, model, rate, table=()):
  figures = {
    "win_rate, %": rate,
    "standard_error, points": 1.0,
    "avg_length, characters": 10 * rate,
  }
  tables = {"by category": list(table)} if table else {}
  found = Evaluation("win_rate", model, figures, tables=tables)
  eval_result.write(found, folder, inputs=[], command=["x"])
  return folder


def annotate(folder, rows):
  found = [
    {
      "instruction": prompt,
      "output_1": "base",
      "output_2": answer,
      "generator_1": "base",
      "generator_2": "mine",
      "preference": preference,
    }
    for prompt, answer, preference in rows
  ]
  (folder / "annotations.json").write_text(json.dumps(found))


@pytest.fixture
def page(tmp_path):
  """Compares folders, and gives the page."""

  def compared(*folders):
    out = tmp_path / "page.html"
    assert report.main([*map(str, folders), f"--out={out}"]) == 0
    return out.read_text(encoding="utf-8")

  return compared


def test_final_figures_stand_side_by_side():
  accuracy = {
    "eval/rewards/accuracy": Curve([0, 9], [0.5, 0.75]),
    "eval/rewards/accuracy_low": Curve([0, 9], [0.4, 0.65]),
    "eval/rewards/accuracy_high": Curve([0, 9], [0.6, 0.85]),
  }
  nan = {"train/loss": Curve([3], [float("nan")])}
  sides = [run_of("a", accuracy), run_of("b", nan), Side("c", None, [], [])]
  seen = Seen(report_compare_runs.final_figures(sides)).text
  dash = "\N{EN DASH}"
  assert f"Pair accuracy, held out 75.0% (65.0 to 85.0) {dash} {dash}" in seen
  assert f"Loss, train {dash} {dash} {dash}" in seen
  assert f"Steps 9 3 {dash}" in seen


def test_curves_lie_over_each_other_in_the_runs_colours():
  sides = [
    run_of("a", {"train/loss": Curve([1, 2], [2.0, 1.0])}),
    run_of("b", {"train/padding_share": Curve([1, 2], [0.5, 0.5])}),
    run_of("c", {"train/loss": Curve([1, 2], [3.0, 2.0])}),
  ]
  loss, padding = report_compare_runs.overlays(sides)
  assert re.findall(r'<g class="(.*?)"><path d="M', loss) == [
    "line s0",
    "line s2",
  ]
  assert '<g class="line s1"' in padding
  assert Seen(loss).text.startswith("Loss, train a c")
  assert "Only b has it." in Seen(padding).text


def test_losses_of_other_kinds_are_said_not_to_compare():
  curves = {"train/loss": Curve([1, 2], [2.0, 1.0])}
  sft, dpo = {"algorithm": "sft"}, {"algorithm": "preference"}
  of_one = [run_of("a", curves, sft), run_of("b", curves, sft)]
  of_two = [run_of("a", curves, sft), run_of("b", curves, dpo)]
  assert "nats per token" in report_compare_runs.overlays(of_one)[0]
  assert "different kinds" not in report_compare_runs.overlays(of_one)[0]
  assert "levels do not compare" in report_compare_runs.overlays(of_two)[0]


def test_noisy_curves_are_compared_by_their_running_means():
  noisy = Curve([*range(100)], [float(i % 2) for i in range(100)])
  sides = [run_of(name, {"train/loss": noisy}) for name in "ab"]
  (chart,) = report_compare_runs.overlays(sides)
  assert "a is a running mean of 3 points." in Seen(chart).text
  assert 'class="faint' not in chart


def test_only_the_keys_of_the_config_that_differ_are_shown():
  sides = [
    run_of("a", {}, {"optim": {"lr": 1e-3, "clip": 1.0}, "only": "a"}),
    run_of("b", {}, {"optim": {"lr": 1e-4, "clip": 1}, "flag": True}),
    run_of("c", {}),
  ]
  seen = Seen(report_compare_runs.config_differences(sides)).text
  dash = "\N{EN DASH}"
  assert f"optim.lr 0.001 0.0001 {dash}" in seen
  assert f"only a (not there) {dash} flag (not there) true {dash}" in seen
  assert "clip" not in seen
  assert "1 keys are the same in all." in seen


def test_true_is_not_one_and_equal_configs_say_so():
  one, true = {"a": {"b": 1}}, {"a": {"b": True}}
  found = report_compare_runs.config_differences
  assert (
    "a.b 1 true" in Seen(found([run_of("x", {}, c) for c in (one, true)])).text
  )
  same = found([run_of("x", {}, one), run_of("y", {}, one)])
  assert Seen(same).text == "1 keys are the same in all."
  assert found([run_of("x", {}, one), run_of("y", {})]) == ""


def test_answers_to_the_same_prompt_stand_side_by_side(tmp_path, page):
  def sample(prompt, response, index, verified=None):
    fields = {"prompt": prompt, "response": response, "verified": verified}
    return {"step": 3, "index": index, **fields}

  a = write_run(
    tmp_path / "a",
    [2.0],
    samples=[
      sample("p", "four", 0, True),
      sample("q", "same", 1, True),
      sample("r", "alone", 2),
    ],
  )
  b = write_run(
    tmp_path / "b",
    [1.0],
    samples=[sample("q", "same", 0, True), sample("p", "five", 1, False)],
  )
  seen = Seen(page(a, b)).text
  # First where one is verified and the other is not.
  assert "Prompt a b p ✓ verified four ✗ not verified five q ✓ verified" in seen
  assert "alone" not in seen
  assert "2 of 2 prompts that two or more have answers to" in seen


def test_evaluations_stand_side_by_side_with_their_intervals(tmp_path, page):
  folders = [
    evaluate(tmp_path / name, model, rate)
    for name, model, rate in (("a", "one", 40.0), ("b", "two", 60.0))
  ]
  text = page(*folders)
  table = re.search(r"<table.*?</table>", text, re.DOTALL)
  assert table is not None
  assert Seen(table[0]).text == (
    "a b win_rate win rate 40.0% (38.0 to 42.0) 60.0% (58.0 to 62.0)"
  )
  assert 'class="dots s0"><line class="whisker" x1="38.04%" x2="41.96%"' in text
  assert 'class="dots s1"><line class="whisker" x1="58.04%" x2="61.96%"' in text
  seen = Seen(text).text
  assert "1 a, win_rate: 400, 40.0% 2 b, win_rate: 600, 60.0%" in seen
  assert "a: one · b: two" in seen


def test_categories_are_compared_as_radar_and_bars(tmp_path, page):
  def grades(scale):
    return [
      {"category": c, "average": scale * g, "turn_1": scale * g}
      for c, g in (("x", 1.0), ("y", 2.0), ("z", 3.0))
    ]

  a = evaluate(tmp_path / "a", "one", 40.0, grades(1.0))
  b = evaluate(tmp_path / "b", "two", 60.0, grades(2.0)[:2])
  text = page(a, b)
  # 1 of 10 to the top of a radius of 125 about (240, 165).
  assert 'class="area s0"><path d="M240.0 152.5L' in text
  assert 'class="area s1"><path d="M240.0 140.0L' in text
  assert "b has no figure in 1 of 3." in Seen(text).text
  assert "x 1.00 2.00 y 2.00 4.00 z 3.00" in Seen(text).text


def test_verdicts_on_the_same_prompt_stand_side_by_side(tmp_path, page):
  a = evaluate(tmp_path / "a", "one", 40.0)
  b = evaluate(tmp_path / "b", "two", 60.0)
  annotate(a, [("p", "pa", 1.5), ("q", "qa", 2.0), ("r", "ra", 1.0)])
  annotate(b, [("r", "rb", 1.75), ("q", "qb", 1.0), ("p", "pb", 1.5)])
  seen = Seen(page(a, b)).text
  # The best of each in turn, by how far apart they are, and then ties.
  places = [seen.index(text) for text in (" qa ", " ra ", " pa ")]
  assert places == sorted(places)
  assert "q won, preference 100.0% qa lost, preference 0.0% qb" in seen
  assert "r lost, preference 0.0% ra won, preference 75.0% rb" in seen


def test_evaluations_of_one_benchmark_belong_together_by_name(tmp_path):
  a = write_run(tmp_path / "a", [2.0])
  evaluate(a / "evals" / "x", "m", 1.0)
  evaluate(a / "evals" / "y", "m", 2.0)
  b = write_run(tmp_path / "b", [2.0])
  evaluate(b / "evals" / "y", "m", 3.0)
  alone = evaluate(tmp_path / "x", "m", 4.0)
  groups = report_compare_groups.groups(report_sides.read([a, b, alone]))
  found = {
    group.title: [
      one and one.evaluation.figures["win_rate, %"] for one in group.sides
    ]
    for group in groups
  }
  assert found == {
    "win_rate: x": [1.0, None, 4.0],
    "win_rate: y": [2.0, 3.0, None],
  }


def test_what_one_side_alone_has_is_in_the_table_alone(tmp_path, page):
  a = write_run(tmp_path / "a", [2.0])
  b = write_run(tmp_path / "b", [2.0])
  evaluate(a / "evals" / "x", "m", 40.0)
  text = page(a, b)
  assert "40.0% (38.0 to 42.0) \N{EN DASH}" in Seen(text).text
  assert "<article" not in text


def test_the_page_of_a_comparison_goes_into_no_run(
  tmp_path, monkeypatch, capsys
):
  a, b = (write_run(tmp_path / name, [2.0]) for name in "ab")
  before = sorted(tmp_path.rglob("*"))
  (tmp_path / "here").mkdir()
  monkeypatch.chdir(tmp_path / "here")
  assert report.main([str(a), str(b)]) == 0
  assert capsys.readouterr().out.splitlines()[-1] == "comparison.html"
  assert (tmp_path / "here" / "comparison.html").is_file()
  assert [p for p in sorted(tmp_path.rglob("*")) if "here" not in p.parts] == (
    before
  )


def test_one_evaluation_alone_has_a_page(tmp_path, capsys):
  folder = evaluate(tmp_path / "a", "one", 40.0)
  assert report.main([str(folder)]) == 0
  assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
  seen = Seen((folder / "report.html").read_text(encoding="utf-8")).text
  assert "ramjax evaluation a win_rate of one Evaluations" in seen
  assert "win rate 40.0% (38.0 to 42.0)" in seen


@pytest.mark.parametrize("number", [1, 2])
def test_refusals_are_one_line(tmp_path, capsys, number):
  folders = [write_run(tmp_path / "a", [2.0]), tmp_path][-number:]
  assert report.main([*map(str, folders), f"--out={tmp_path / 'o.html'}"]) == 1
  assert capsys.readouterr().err.count("\n") == 1
  assert not (tmp_path / "o.html").exists()


def test_a_folder_is_no_file_for_the_page(tmp_path, capsys):
  a = write_run(tmp_path / "a", [2.0])
  assert report.main([str(a), f"--out={tmp_path}"]) == 1
  assert "is a folder: name a file in it." in capsys.readouterr().err


def test_notes_name_the_run_they_are_of(tmp_path, page, capsys):
  a, b = (write_run(tmp_path / name, [2.0]) for name in "ab")
  (b / "evals" / "x").mkdir(parents=True)
  (b / "evals" / "x" / "evaluation.json").write_text("{")
  note = f"b: An evaluation is left out: {b / 'evals/x/evaluation.json'}"
  assert note in Seen(page(a, b)).text
  assert note in capsys.readouterr().out


def test_everything_a_stranger_wrote_stays_text(tmp_path, page):
  def pair(name, key, text):
    evil = write_run(
      tmp_path / name,
      [2.0],
      {"a": {key: text}},
      [{"step": 3, "index": 0, "prompt": text, "response": text}],
    )
    table = [
      {"category": f"{text}{i}", "average": 1.0, "turn_1": 1.0} for i in "abc"
    ]
    folder = evaluate(evil / "evals" / "x", text, 40.0, table)
    annotate(folder, [(text, text, 1.0)])
    return evil

  plain = Seen(page(pair("a", "k", "x"), pair("b", "l", "x")))
  name = "<img src=x onerror=alert(1)>\u202e\" x='" + "n" * 80
  seen = Seen(page(pair(name, EVIL, EVIL), pair("c", "l", EVIL)))
  assert set(seen.tags) <= {*plain.tags, "span"}
  assert seen.tags.count("script") == 1
  assert not [key for key, _ in seen.attributes if key.startswith("on")]
  assert "\u202e" not in seen.text and "\x1b" not in seen.text
  assert "<script>alert(1)</script>" in seen.text


def test_categories_are_of_the_measure_that_most_sides_have(tmp_path, page):
  def table(*names):
    return [
      {"task": task, "acc, %": None, "acc_norm, %": None}
      | {f"{name}, %": value for name, value in zip(names, found, strict=True)}
      for task, *found in (("x", 10.0, 20.0), ("y", 30.0, 40.0))
    ]

  one = evaluate(tmp_path / "a", "one", 40.0, table("acc", "acc_norm"))
  two = evaluate(tmp_path / "b", "two", 60.0, table("acc_norm", "acc"))
  seen = Seen(page(one, two)).text
  assert "By category acc, percent a b x 10.0% 20.0% y 30.0% 40.0%" in seen
  norm = [{**row, "acc, %": None} for row in table("acc", "acc_norm")]
  three = evaluate(tmp_path / "c", "three", 60.0, norm)
  seen = Seen(page(one, three)).text
  assert "acc norm, percent a c x 20.0% 20.0% y 40.0% 40.0%" in seen


def test_a_side_without_the_measure_is_left_out_and_said(tmp_path, page):
  def table(name):
    return [{"task": task, f"{name}, %": 10.0} for task in "xy"]

  a, b, c = (
    evaluate(tmp_path / name, name, 40.0, table(measure))
    for name, measure in (("a", "acc"), ("b", "acc_norm"), ("c", "acc"))
  )
  assert "By category" not in Seen(page(a, b)).text
  seen = Seen(page(a, b, c)).text
  assert "acc, percent a c x 10.0% 10.0%" in seen
  assert "b has no such figure." in seen


def test_other_questions_under_one_number_do_not_stand_side_by_side(
  tmp_path, page
):
  def graded(name, questions):
    folder = tmp_path / name / "mt"
    found = Evaluation("mt_bench", name, {"average": 5.0, "turn_1": 5.0})
    eval_result.write(found, folder, inputs=[], command=["x"])
    rows = [
      {
        "question_id": number,
        "model": name,
        "judge": ["gpt", "single-v1"],
        "user_prompt": f"[Question]\n{asked}\n\n[The Start of {name}"
        if asked
        else None,
        "judgment": f"words of {name}",
        "score": 5,
        "turn": 1,
        "tstamp": 1.0,
      }
      for number, asked in questions.items()
    ]
    path = folder / "model_judgment" / "gpt_single" / "m.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder

  a = graded("a", {81: "What is one?", 82: "What is two?", 83: None})
  b = graded("b", {81: "What is three?", 82: "What is two?", 83: "Four?"})
  seen = Seen(page(a, b)).text
  assert "What is one?" not in seen and "What is three?" not in seen
  assert "Question 82, turn 1 What is two? grade 5, in the judge's" in seen
  # Where one does not record it, the number has to do.
  assert "Question 83, turn 1 Four?" in seen
  assert "1 turns are of other questions under the same number" in seen


def test_a_run_in_rounds_stands_beside_another(tmp_path, page):
  a = write_run(tmp_path / "a", [2.0])
  b = tmp_path / "b"
  b.mkdir()
  (b / "rounds.jsonl").write_text('{"round": 4, "eval/loss": 0.5}\n')
  evaluate(a / "evals" / "x", "m", 40.0)
  evaluate(b / "round_4" / "fit" / "evals" / "x", "m", 60.0)
  text = page(a, b)
  seen = Seen(text).text
  assert "b run, 4 rounds" in seen
  assert "Steps 1 4 rounds" in seen
  assert "40.0% (38.0 to 42.0) 60.0% (58.0 to 62.0)" in seen
  assert "a: m · b: m, round 4" in seen
  assert ">step or round</text>" in text
