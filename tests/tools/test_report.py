# SPDX-License-Identifier: Apache-2.0
"""The report: what it says, what it says is missing, and hostile runs."""

import base64
import hashlib
import json
import math
import re

import pytest
from tiny_curves import PAIRS
from tiny_page import EVIL, Seen

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  eval_result,
  report,
  report_run,
  report_samples,
  report_tables,
)
from ramjax.tools.report_run import Curve, Run, Sample


def train_line(step, **metrics):
  keys = {f"train/{key}": value for key, value in metrics.items()}
  return {"step": step, "time_s": float(step), **keys}


def sample(step, index, response="r", **fields):
  defaults = {"prompt": f"p{index}", "reference": None, "kind": None}
  extra = {"verified": None, **defaults, **fields}
  return {"step": step, "index": index, "response": response, **extra}


def write_lines(path, lines):
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def workdir(tmp_path):
  """A small run with all four files."""
  folder = tmp_path / "my-run"
  folder.mkdir()
  write_lines(
    folder / "metrics.jsonl",
    [
      {
        "step": 0,
        "time_s": 1.0,
        "eval/loss": 5.0,
        "eval/perplexity": 148.41,
        "eval/unigram_perplexity": 90.0,
        "eval/verified_accuracy": 0.125,
        "eval/verified_accuracy/adding": 0.25,
        "eval/verified_accuracy/sorting": 0.0,
      },
      train_line(
        10,
        loss=4.5,
        tokens=10_000,
        supervised_tokens=2_500,
        tokens_per_s=1.0,
      ),
      train_line(20, loss=2.25, tokens_per_s=1500.0),
      train_line(
        30,
        loss=1.75,
        tokens=30_000,
        supervised_tokens=7_500,
        tokens_per_s=1600.0,
      ),
      {
        "step": 30,
        "time_s": 83.0,
        "eval/loss": 1.6,
        "eval/perplexity": 4.953,
        "eval/verified_accuracy": 0.75,
        "eval/verified_accuracy/adding": 0.5,
        "eval/verified_accuracy/sorting": 1.0,
      },
    ],
  )
  write_lines(
    folder / "samples.jsonl",
    [
      sample(0, 0, "five", prompt="2 + 2", reference="4", verified=False),
      sample(15, 0, "between", prompt="2 + 2", reference="4"),
      sample(30, 0, "four", prompt="2 + 2", reference="4", verified=True),
    ],
  )
  config = {
    "algorithm": "sft",
    "model": {"preset": "tiny"},
    "data": {"sources": {"a": {"path": "a.jsonl"}, "b": {"path": "tasks:9"}}},
    "run": {"total_steps": 60},
  }
  (folder / "config.json").write_text(json.dumps(config))
  manifest = {
    "num_parameters": 1_234_567,
    "code": {"commit": "ab" * 20, "modified": True},
    "devices": {"kind": "TPU v5e", "count": 8},
  }
  (folder / "manifest.json").write_text(json.dumps(manifest))
  return folder


def read_page(workdir):
  """Runs the command, and reads the page it wrote."""
  assert report.main([str(workdir)]) == 0
  return (workdir / "report.html").read_text(encoding="utf-8")


def test_key_figures_are_those_of_the_run(workdir):
  text = Seen(read_page(workdir)).text
  for figure in (
    "my-run",
    "Algorithm sft Model tiny Data a.jsonl, tasks:9",
    "Device 8 x TPU v5e Commit ababababab (modified)",
    "Held-out perplexity 148 → 4.95 token frequencies alone: 90.0",
    "Verified accuracy 12.5% → 75.0% of held-out answers",
    "Final train loss 1.750 from 4.500, nats per token",
    "Steps 30 of 60 planned",
    "Tokens trained 30.0k 25.0% of them supervised",
    "Tokens per second 1,500 median",
    "Wall time 1 min 23 s",
    "Parameters 1.23M 1,234,567",
  ):
    assert figure in text


def test_last_line_printed_is_the_page(workdir, capsys):
  assert report.main([str(workdir)]) == 0
  assert capsys.readouterr().out.splitlines()[-1] == str(
    workdir / "report.html"
  )


def test_out_names_the_page(workdir, tmp_path, capsys):
  out = tmp_path / "elsewhere.html"
  assert report.main([str(workdir), "--out", str(out)]) == 0
  assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
  assert capsys.readouterr().out.splitlines()[-1] == str(out)
  assert not (workdir / "report.html").exists()


def test_same_run_gives_the_same_page(workdir):
  assert read_page(workdir) == read_page(workdir)


def test_page_asks_for_nothing_outside_itself(workdir):
  seen = Seen(read_page(workdir))
  names = {name for name, _ in seen.attributes}
  assert not names & {"src", "href", "srcset", "action", "xlink:href"}
  assert not {"link", "img", "iframe", "object", "base"} & set(seen.tags)
  assert "@import" not in read_page(workdir)
  assert "url(" not in read_page(workdir)


def test_policy_allows_the_one_script_and_nothing_else(workdir):
  page = read_page(workdir)
  (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  (policy,) = re.findall('Content-Security-Policy" content="(.*?)"', page)
  assert "default-src 'none'" in policy
  assert f"script-src 'sha256-{digest}'" in policy


def test_missing_workdir_is_an_error_that_names_it(tmp_path, capsys):
  assert report.main([str(tmp_path / "nowhere")]) == 1
  error = capsys.readouterr().err
  assert str(tmp_path / "nowhere") in error
  assert "ramjax train --workdir" in error


def test_missing_metrics_are_an_error_that_says_who_writes_them(
  tmp_path, capsys
):
  assert report.main([str(tmp_path)]) == 1
  error = capsys.readouterr().err
  assert f"{tmp_path / 'metrics.jsonl'} does not exist" in error
  assert "ramjax train --workdir" in error


def test_missing_folder_for_the_page_is_an_error(workdir, tmp_path, capsys):
  assert report.main([str(workdir), "--out", str(tmp_path / "no" / "a")]) == 1
  assert "does not exist. Make it first." in capsys.readouterr().err


def test_what_is_missing_is_said(workdir):
  for name in ("samples.jsonl", "config.json", "manifest.json"):
    (workdir / name).unlink()
  write_lines(workdir / "metrics.jsonl", [train_line(1, loss=2.0)])
  seen = Seen(read_page(workdir))
  for what in (
    "samples.jsonl is missing, so no samples are shown.",
    "config.json is missing, so the config is not shown.",
    "manifest.json is missing, so the provenance is not shown.",
    "metrics.jsonl holds no evaluation",
  ):
    assert what in seen.text
  assert "Verified accuracy" not in seen.text
  assert "Final train loss 2.000" in seen.text


def test_empty_metrics_are_said(tmp_path):
  (tmp_path / "metrics.jsonl").touch()
  assert "holds no metric yet" in Seen(read_page(tmp_path)).text


def test_line_cut_by_a_kill_is_left_out_and_noted(workdir):
  with (workdir / "metrics.jsonl").open("ab") as file:
    # Cut inside a character of two bytes.
    file.write(b'{"step": 40, "time_s": 9.0, "train/\xc3')
  run = report_run.read_run(workdir)
  assert run.curves["train/loss"].steps == [10, 20, 30]
  assert any("metrics.jsonl (line 6) was cut off" in n for n in run.notes)


def test_whole_last_line_without_newline_counts(tmp_path):
  (tmp_path / "metrics.jsonl").write_text('{"step": 3, "train/loss": 1.5}')
  run = report_run.read_run(tmp_path)
  assert run.curves["train/loss"] == Curve([3], [1.5])
  assert not any("cut off" in note for note in run.notes)


@pytest.mark.parametrize(
  ("line", "why"),
  [
    ('{"step": 1, "tr', "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[1]", "a JSON list"),
    ('{"time_s": 1.0}', "step=None is not a count"),
    ('{"step": true}', "step=True is not a count"),
    ('{"step": -1}', "step=-1 is not a count"),
    ('{"step": 1.5}', "step=1.5 is not a count"),
    ('{"step": ' + "9" * 400 + "}", "is not a count"),
  ],
)
def test_broken_line_is_an_error_with_its_number(tmp_path, capsys, line, why):
  (tmp_path / "metrics.jsonl").write_text(f'{{"step": 0}}\n{line}\n')
  assert report.main([str(tmp_path)]) == 1
  error = capsys.readouterr().err
  assert f"{tmp_path / 'metrics.jsonl'}, line 2" in error
  assert why in error
  assert len(error) < 600


@pytest.mark.parametrize(
  "fields", [{"index": "0"}, {"prompt": None}, {"verified": 1}, {"kind": []}]
)
def test_sample_of_another_shape_is_an_error(workdir, capsys, fields):
  write_lines(workdir / "samples.jsonl", [{**sample(0, 0), **fields}])
  assert report.main([str(workdir)]) == 1
  assert f"line 1: {next(iter(fields))} is a" in capsys.readouterr().err


def test_broken_config_is_an_error_that_names_it(workdir, capsys):
  (workdir / "config.json").write_text("{")
  assert report.main([str(workdir)]) == 1
  assert str(workdir / "config.json") in capsys.readouterr().err


def test_later_line_of_a_resumed_run_wins(tmp_path):
  lines = [train_line(s, loss=float(s)) for s in (1, 2, 3)]
  lines += [train_line(s, loss=10.0 * s) for s in (2, 3, 4)]
  write_lines(tmp_path / "metrics.jsonl", lines)
  run = report_run.read_run(tmp_path)
  assert run.curves["train/loss"] == Curve([1, 2, 3, 4], [1, 20, 30, 40])
  # 1 to 3 s, and after the clock was set back 2 to 4 s.
  assert run.wall_time_s == 5.0
  assert any("resumed (at step 2)" in note for note in run.notes)


def test_train_and_eval_lines_of_one_step_are_both_kept(workdir):
  run = report_run.read_run(workdir)
  assert run.curves["train/loss"].values[-1] == 1.75
  assert run.curves["eval/loss"].values[-1] == 1.6
  assert not any("resumed" in note for note in run.notes)


def test_values_that_are_not_finite_do_not_break_the_page(tmp_path):
  (tmp_path / "metrics.jsonl").write_text(
    '{"step": 1, "time_s": NaN, "train/loss": 3.0, "eval/perplexity": null}\n'
    '{"step": 2, "time_s": 2.0, "train/loss": NaN, "eval/perplexity": NaN}\n'
    '{"step": 3, "time_s": 3.0, "train/loss": -Infinity,'
    ' "eval/verified_accuracy": NaN, "train/tokens": 1e999}\n'
    '{"step": 4, "time_s": 4.0, "train/loss": ' + "9" * 400 + ","
    ' "train/tokens_per_s": NaN, "train/name": "sft"}\n'
  )
  text = Seen(read_page(tmp_path)).text
  assert "3 of 4 values of train cannot be drawn" in text
  assert "Final train loss ∞" in text
  assert "Held-out perplexity NaN → NaN" in text
  assert "There is nothing to draw." in text


def test_everything_a_stranger_wrote_stays_text(workdir):
  plain = Seen(read_page(workdir))
  with (workdir / "metrics.jsonl").open("a") as file:
    metrics = {f"train/{EVIL}": 1.0, f"eval/verified_accuracy/{EVIL}": 0.5}
    file.write(json.dumps({"step": 30, EVIL: 2.0, **metrics}) + "\n")
  evil = sample(30, 0, EVIL, prompt=EVIL, reference=EVIL, kind=EVIL)
  write_lines(workdir / "samples.jsonl", [evil])
  tree = {EVIL: {EVIL: EVIL, "lone": "\ud800"}, "algorithm": EVIL}
  (workdir / "config.json").write_text(json.dumps(tree))
  tree["code"] = {"commit": "</dd><b>"}
  (workdir / "manifest.json").write_text(json.dumps(tree))
  seen = Seen(read_page(workdir))
  assert set(seen.tags) == set(plain.tags)
  assert seen.tags.count("script") == 1
  assert not [name for name, _ in seen.attributes if name.startswith("on")]
  assert "<script>alert(1)</script>" in seen.text
  assert "<U+202E>" in seen.text and "<U+001B>[31m" in seen.text
  assert "\u202e" not in seen.text and "\x1b" not in seen.text
  assert "<U+D800>" in seen.text


def test_long_texts_are_cut_and_say_so(workdir):
  write_lines(workdir / "samples.jsonl", [sample(30, 0, "ha" * 50_000)])
  (workdir / "config.json").write_text(json.dumps({"note": "z" * 9_000}))
  page = read_page(workdir)
  assert "ha" * 500 in page and "ha" * 501 not in page
  text = Seen(page).text
  assert "… the first 1,000 of 100,000 characters" in text
  assert "… the first 400 of 9,000 characters" in text


def test_long_run_makes_a_small_page(tmp_path):
  write_lines(
    tmp_path / "metrics.jsonl",
    (
      train_line(s, **{f"m{i}": math.sin(s / 99 + i) for i in range(9)})
      for s in range(10_000)
    ),
  )
  assert len(read_page(tmp_path)) < 500_000


def test_samples_stand_beside_those_of_the_first_step(workdir):
  text = Seen(read_page(workdir)).text
  assert (
    "Prompt Before: step 0 After: step 30 2 + 2 Reference 4"
    " five ✗ not verified four ✓ verified"
  ) in text
  assert "between" not in text


def test_another_prompt_at_the_same_index_is_not_compared():
  first = Sample(0, 7, "old prompt", "a", None, None, None)
  last = Sample(9, 7, "new prompt", "b", None, None, None)
  assert report_samples.pair_up([first, last]) == [(None, last)]


def test_only_one_sampled_step_is_shown_alone(workdir):
  write_lines(workdir / "samples.jsonl", [sample(5, 0, "alone")])
  text = Seen(read_page(workdir)).text
  assert "Prompt Step 5 p0 alone" in text


def test_kinds_take_turns_among_the_samples():
  kinds = ["a", "a", "a", "b", "c", "c"]
  samples = [Sample(0, i, "p", "r", None, k, None) for i, k in enumerate(kinds)]
  order = [pair.last.index for pair in report_samples.pair_up(samples)]
  assert order == [0, 3, 4, 1, 5, 2]


def test_accuracy_of_each_kind_has_bars_and_a_change(workdir):
  page = read_page(workdir)
  text = Seen(page).text
  assert "all kinds 12.5% 75.0% +62.5" in text
  assert "adding 25.0% 50.0% +25.0" in text
  assert 'bar before" style="width:25.0%"' in page
  assert 'bar after" style="width:100.0%"' in page


# Runs on answers.

_SUBSETS = {
  "eval/rewards/accuracy/chat": Curve([0, 10], [0.5, 0.9]),
  "eval/rewards/accuracy/safety": Curve([0, 10], [0.5, 0.6]),
}


def run_of(curves, algorithm="preference"):
  config = {"algorithm": algorithm, "model": {"preset": ""}}
  return Run("r", curves, None, [], config, None, [])


def test_loss_of_pairs_is_nowhere_said_to_be_per_token():
  text = Seen(report.page(run_of(PAIRS))).text
  assert "Final train loss 0.5000 from 0.7000, per pair" in text
  assert "nats per token" not in text


def test_absent_metrics_make_no_box():
  page = report.page(run_of({"train/loss": Curve([1, 2], [2.0, 1.0])}))
  assert page.count('<figure class="chart"') == 1
  assert "Calibration" not in page
  assert "Better and worse" not in page
  assert "Held-out" not in Seen(page).text


def test_subsets_stand_beside_the_calibration():
  page = report.page(run_of({**PAIRS, **_SUBSETS}))
  text = Seen(page).text
  assert "Held-out pairs Subset Bars step 0 step 10 points all pairs" in text
  assert "chat 50.0% 90.0% +40.0" in text
  assert text.index("safety 50.0%") < text.index("Calibration pairs named")
  assert text.count("Calibration pairs named") == 1


def test_one_set_of_pairs_needs_no_table():
  assert report_tables.subset_accuracies(PAIRS) is None
  text = Seen(report.page(run_of(PAIRS))).text
  assert "Subset" not in text
  assert text.count("Calibration pairs named") == 1


def test_many_subsets_take_the_whole_width():
  many = {
    f"eval/rewards/accuracy/s{i}": Curve([0, 10], [0.5, 0.5]) for i in range(20)
  }
  page = report.page(run_of({**PAIRS, **many}))
  assert page.index("<b>Calibration</b>") < page.index("Held-out pairs</h2>")


def test_names_of_a_stranger_stay_text(tmp_path):
  line = {
    "step": 1,
    **{key: curve.values[-1] for key, curve in PAIRS.items()},
    f"eval/rewards/accuracy/{EVIL}": 0.5,
    f"eval/rewards/calibration/{EVIL}": 0.5,
    f"eval/rewards/calibration/0.5-0.6{EVIL}": 0.5,
  }
  (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
  (tmp_path / "config.json").write_text(json.dumps({"algorithm": [EVIL]}))
  page = report.page(report_run.read_run(tmp_path))
  assert Seen(page).tags.count("script") == 1
  assert "<script>alert(1)" in Seen(page).text


def test_only_a_page_is_replaced(tmp_path, capsys):
  metrics = tmp_path / "metrics.jsonl"
  metrics.write_text('{"step": 1, "train/loss": 1.0}\n')
  before = metrics.read_text()
  assert report.main([str(tmp_path), f"--out={metrics}"]) == 1
  assert "exists and is no page" in capsys.readouterr().err
  assert metrics.read_text() == before
  page = tmp_path / "p.HTML"
  page.write_text("old")
  assert report.main([str(tmp_path), f"--out={page}"]) == 0
  assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
  assert report.main([str(tmp_path), f"--out={tmp_path / 'new'}"]) == 0


def test_a_page_is_replaced_whole_and_not_through_a_link(tmp_path):
  metrics = tmp_path / "metrics.jsonl"
  metrics.write_text('{"step": 1, "train/loss": 1.0}\n')
  before = metrics.read_text()
  page = tmp_path / "report.html"
  page.symlink_to(metrics)
  assert report.main([str(tmp_path)]) == 0
  assert metrics.read_text() == before
  assert not page.is_symlink()


def test_a_run_in_rounds_has_a_page_of_its_rounds(tmp_path, capsys):
  lines = [{"round": i, "eval/score": i / 10} for i in range(3)]
  log = "".join(json.dumps(line) + "\n" for line in lines)
  (tmp_path / "rounds.jsonl").write_text(log)
  config = {"algorithm": "rounds", "rounds": {"num_rounds": 5}}
  (tmp_path / "config.json").write_text(json.dumps(config))
  for number, rate in ((1, 10.0), (2, 20.0)):
    folder = tmp_path / f"round_{number}" / "fit" / "evals" / "math"
    found = Evaluation("gsm8k", f"m{number}", {"accuracy, %": rate})
    eval_result.write(found, folder / "step_00000120", inputs=[], command=["x"])
  assert report.main([str(tmp_path)]) == 0
  assert "samples" not in capsys.readouterr().out
  text = (tmp_path / "report.html").read_text(encoding="utf-8")
  seen = Seen(text).text
  assert "Rounds 2 of 5 planned" in seen
  assert "gsm8k · m1 · round 1 accuracy 10.0%" in seen
  assert "Evaluations over the run math: accuracy" in seen
  assert ">step</text>" not in text and ">round</text>" in text
  (tmp_path / "rounds.jsonl").write_text('{"step": 1}\n')
  assert report.main([str(tmp_path)]) == 1
  assert "round=None is not a count of rounds" in capsys.readouterr().err
