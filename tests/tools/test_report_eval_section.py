# SPDX-License-Identifier: Apache-2.0
"""The evaluations on a run's page: what is said, drawn and left out."""

import dataclasses
import json
import re

import pytest
from tiny_page import EVIL, Seen

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_result, report

_WIN_RATE = Evaluation(
  "win_rate",
  "mine",
  {
    "win_rate, %": 61.5,
    "standard_error, points": 2.5,
    "discrete_win_rate, %": 60.0,
    "avg_length, characters": 900,
  },
  tables={
    "canaries": [
      {"canary": "null", "asked": 5, "mean": 1.02, "passed": 0.875},
      {"canary": "padded", "asked": 5, "mean": None, "passed": None},
    ]
  },
  counted={"pairs of equal texts": 3, "pairs without a verdict": 0},
  notes=["Preferences of a judge."],
)
_GRADES = Evaluation(
  "mt_bench",
  "mine",
  {"average": 7.25, "turn_1": 8.0, "turn_2": 6.5, "judgments": 6},
  tables={
    "by category": [
      {
        "category": c,
        "average": a,
        "turn_1": a,
        "turn_2": a / 2,
        "judgments": 2,
      }
      for c, a in (("writing", 9.0), ("math", 5.0), ("coding", 10.0))
    ]
  },
)
_PAIRS = Evaluation(
  "preference",
  "head",
  {
    "pairs": 30,
    "accuracy, %": 70.0,
    "accuracy, 95 % from": 60.0,
    "accuracy, 95 % to": 80.0,
  },
  tables={
    "by subset": [
      {"subset": "chat", "pairs": 9, "accuracy, %": 81.0, "from": 70, "to": 90},
      {"subset": "code", "pairs": 9, "accuracy, %": 55.0, "from": 40, "to": 70},
    ],
    "calibration": [
      {
        "from": 0.5,
        "to": 0.6,
        "pairs": 20,
        "mean confidence": 0.55,
        "accuracy, share": 0.625,
      },
      {
        "from": 0.6,
        "to": 0.7,
        "pairs": 0,
        "mean confidence": None,
        "accuracy, share": None,
      },
    ],
  },
)


@pytest.fixture
def run(tmp_path):
  """A run that has been trained for one step."""
  folder = tmp_path / "my-run"
  folder.mkdir()
  (folder / "metrics.jsonl").write_text('{"step": 1, "train/loss": 2.0}\n')
  return folder


def add(run, name, evaluation):
  folder = run / "evals" / name
  eval_result.write(evaluation, folder, inputs=[], command=["x"])
  return folder


def page(run):
  assert report.main([str(run)]) == 0
  return (run / "report.html").read_text(encoding="utf-8")


def headline(text):
  """The rows of the first table, without the words around them."""
  table = re.search(r'<table class="evals">.*?</table>', text, re.DOTALL)
  assert table is not None
  return Seen(table[0]).text


def test_each_evaluation_stands_once_with_its_interval(run):
  add(run, "judged", _WIN_RATE)
  add(run, "mt", _GRADES)
  for step, accuracy in ((40, 55.5), (120, 70.0)):
    figures = {**_PAIRS.figures, "accuracy, %": accuracy}
    found = dataclasses.replace(_PAIRS, figures=figures)
    add(run, f"pairs/step_{step:08d}", found)
  assert headline(page(run)) == (
    "Evaluation Figure Value"
    " judged win_rate · mine win rate 61.5% (56.6 to 66.4)"
    " mt mt_bench · mine average (of 10) 7.25"
    " pairs preference · head · step 40 accuracy 55.5% (60.0 to 80.0)"
    " pairs preference · head · step 120 accuracy 70.0% (60.0 to 80.0)"
  )


def test_only_the_last_step_of_an_evaluation_is_told_in_full(run):
  for step in (40, 120):
    add(run, f"pairs/step_{step:08d}", _PAIRS)
  text = page(run)
  assert text.count('<article class="evaluation">') == 1
  assert (
    "preference · head · step 120"
    in Seen(text).text.rpartition("Evaluation by evaluation")[2]
  )


def test_a_figure_that_could_not_be_had_is_a_dash(run):
  figures = {"win_rate, %": None, "standard_error, points": None, "n_total": 0}
  add(run, "none", dataclasses.replace(_WIN_RATE, figures=figures))
  add(run, "words", dataclasses.replace(_WIN_RATE, figures={"kind": "a"}))
  found = headline(page(run))
  assert "none win_rate · mine win rate \N{EN DASH} words" in found
  assert found.endswith("words win_rate · mine no number")


def test_win_rates_are_dots_with_whiskers_against_a_half(run):
  add(run, "judged", _WIN_RATE)
  controlled = {"length_controlled_winrate": 48.0, "lc_standard_error": 1.0}
  figures = {"win_rate": 30.0, "standard_error": 1.0, "avg_length": 500}
  alpaca = Evaluation("alpaca_eval", "other", {**figures, **controlled})
  add(run, "alpaca", alpaca)
  text = page(run)
  assert 'class="dots s0"><line class="whisker" x1="56.60%" x2="66.40%"' in text
  assert 'class="dots s1"><line class="whisker" x1="46.04%" x2="49.96%"' in text
  seen = Seen(text).text
  assert "length-controlled (LC) win rate" in seen
  # Length against win rate.
  assert "1 alpaca: 500, 30.0% 2 judged: 900, 61.5%" in seen


def test_categories_are_bars_and_grades_a_radar(run):
  add(run, "mt", _GRADES)
  add(run, "pairs", _PAIRS)
  text = page(run)
  # Corners of three categories: the first turn's, and the second's half of it.
  assert (
    'class="area s0"><path d="M240.0 52.5L294.1 196.2L131.7 227.5Z"' in text
  )
  assert (
    'class="area s1"><path d="M240.0 108.8L267.1 180.6L185.9 196.3Z"' in text
  )
  seen = Seen(text).text
  assert "writing 9.00 4.50 math 5.00 2.50 coding 10.00 5.00" in seen
  assert "chat 81.0% (70.0 to 90.0) code 55.0% (40.0 to 70.0)" in seen


def test_confidence_is_drawn_as_calibration(run):
  add(run, "pairs", _PAIRS)
  text = page(run)
  # As in a run's metrics: 0.55 of 0.5..1 over 52..466, 0.625 over 212..12.
  assert text.count('<circle cx="93.4" cy="87.0"') == 1
  assert text.count("<b>Calibration</b>") == 1


def test_sections_of_a_benchmark_and_families_are_bars(run):
  figures = {"overall, share": 0.5, "Chat, share": 0.25, "Safety, share": None}
  add(run, "rb", Evaluation("reward_bench, version 1", "m", figures))
  seen = Seen(page(run)).text
  assert "Shares percent overall 50.0% Chat 25.0% Safety \N{EN DASH}" in seen


def test_canaries_notes_and_counts_are_told(run):
  add(run, "judged", _WIN_RATE)
  seen = Seen(page(run)).text
  assert (
    "Canaries of the judge canary asked mean passed null 5 1.020 0.8750"
    " padded 5 \N{EN DASH} \N{EN DASH}"
  ) in seen
  assert "3 pairs of equal texts Preferences of a judge." in seen
  assert "0 pairs without" not in seen
  assert "All figures and tables" in seen
  assert "discrete_win_rate, % 60.0" in seen


def annotations(folder, texts, **changed):
  rows = [
    {
      "instruction": f"{text} {i}",
      "output_1": f"base {text}",
      "output_2": f"mine {text}",
      "generator_1": "base",
      "generator_2": "mine",
      "preference": 1 + i / 10,
      **changed,
    }
    for i, text in enumerate(texts)
  ]
  (folder / "annotations.json").write_text(json.dumps(rows))


def test_samples_stand_beside_the_judge_s_words(run):
  folder = add(run, "judged", _WIN_RATE)
  annotations(folder, ["task"] * 11, raw_completion="I prefer")
  seen = Seen(page(run)).text
  assert (
    "Instruction Baseline's answer Model's answer Verdict, and the judge's words"
    " task 10 base task mine task won, preference 100.0% I prefer"
  ) in seen
  assert "task 5 base task mine task tie I prefer" in seen
  assert "task 0 base task mine task lost, preference 0.0% I prefer" in seen
  assert "10 of 11 verdicts on mine against base" in seen
  assert "Win rate by difference in length" in seen


def test_verdicts_without_words_say_so_once(run):
  annotations(add(run, "judged", _WIN_RATE), ["task"] * 3)
  seen = Seen(page(run)).text
  assert seen.count("words are not recorded") == 1
  assert "Model's answer Verdict task 2" in seen


def test_long_texts_are_folded_and_cut(run):
  annotations(add(run, "judged", _WIN_RATE), ["ha" * 50_000])
  text = page(run)
  assert text.count('<details class="long">') == 3
  assert "… the first 3,000 of 100," in Seen(text).text
  assert len(text) < 120_000


def test_what_is_broken_is_named_and_the_rest_is_shown(run, capsys):
  add(run, "good", _GRADES)
  annotations(add(run, "judged", _WIN_RATE), ["task"], preference=9)
  broken = run / "evals" / "broken" / "evaluation.json"
  broken.parent.mkdir()
  broken.write_text('{"benchmark": "b", "figures": NaN}')
  seen = Seen(page(run)).text
  said = capsys.readouterr().out
  for text in (seen, said):
    assert f"An evaluation is left out: {broken}" in text
    assert "The verdicts of an evaluation are left out:" in text
    assert "preference=9" in text
  assert "average (of 10) 7.25" in seen and "win rate 61.5%" in seen


def test_everything_a_stranger_wrote_stays_text(run):
  annotations(add(run, "judged", _WIN_RATE), ["task"], raw_completion="w")
  add(run, "mt", _GRADES)
  plain = Seen(page(run))
  evil = Evaluation(
    EVIL,
    EVIL,
    {EVIL: EVIL, f"{EVIL}, %": 1.0, "win_rate": 3.0},
    tables={
      EVIL: [{EVIL: EVIL, f"{EVIL}, %": 1.0}, {EVIL: "b", f"{EVIL}, %": 1.0}],
      "by category": [
        {"c": f"{EVIL}{i}", "average": 1.0, "turn_1": 1.0, "turn_2": 1.0}
        for i in range(4)
      ],
      "canaries": [{EVIL: EVIL}],
    },
    counted={EVIL: 2},
    notes=[EVIL, "WARNING: \ud800"],
  )
  name = "<img src=x onerror=alert(1)>\u202e"
  annotations(add(run, name, evil), [EVIL], raw_completion=EVIL)
  seen = Seen(page(run))
  assert set(seen.tags) == set(plain.tags)
  assert seen.tags.count("script") == 1
  assert not [name for name, _ in seen.attributes if name.startswith("on")]
  assert "\u202e" not in seen.text and "\x1b" not in seen.text
  assert "<script>alert(1)</script>" in seen.text


def test_a_run_without_evaluations_has_none_of_this(run):
  seen = Seen(page(run)).text
  assert "Evaluation" not in seen
  assert "nothing here is about held-out data" in seen
  add(run, "mt", _GRADES)
  assert "nothing here is about held-out data" not in Seen(page(run)).text


def test_many_tables_make_a_page_that_says_what_it_leaves_out(run):
  rows = [{"a": f"row {i}", "b": 1.0} for i in range(250)]
  tables = {f"table {i}": rows for i in range(25)}
  add(run, "wide", Evaluation("b", "m", {"n": 1}, tables=tables))
  seen = Seen(page(run)).text
  assert "5 more tables are not shown." in seen
  assert seen.count("row 199") == 20 and "row 200" not in seen
  assert seen.count("50 more rows are not shown.") == 20


def test_many_evaluations_make_a_page_that_says_what_it_leaves_out(run):
  for i in range(30):
    add(run, f"e{i:02}", _GRADES)
  text = page(run)
  assert text.count('<article class="evaluation">') == 24
  assert "6 more evaluations stand in the table above alone." in Seen(text).text
  assert headline(text).count("average (of 10) 7.25") == 30
