# SPDX-License-Identifier: Apache-2.0
"""Figures of evaluations: the main one, units, and intervals by hand."""

import math

import pytest

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import report_eval_figures
from ramjax.tools.report_eval_figures import Figure


def of(figures, benchmark="b", **tables):
  return Evaluation(benchmark, "m", figures, tables=tables)


def shown(found):
  return (found.title, found.text, found.interval)


@pytest.mark.parametrize(
  ("figures", "key", "expected"),
  [
    (
      {"win_rate": 50.0, "standard_error": 10.0},
      "win_rate",
      ("win rate", "50.0%", "30.4 to 69.6"),
    ),
    (
      {"win_rate, %": 12.5, "standard_error, points": 0.5},
      "win_rate, %",
      ("win rate", "12.5%", "11.5 to 13.5"),
    ),
    (
      {"length_controlled_winrate": 20.0, "lc_standard_error": 1.0},
      "length_controlled_winrate",
      ("LC win rate", "20.0%", "18.0 to 22.0"),
    ),
    (
      {"acc, %": 40.0, "acc, standard error": 2.0},
      "acc, %",
      ("acc", "40.0%", "36.1 to 43.9"),
    ),
    (
      {"task acc": 0.4, "task acc, standard error": 0.02},
      "task acc",
      ("task acc", "40.0%", "36.1 to 43.9"),
    ),
    (
      {"accuracy, %": 71.0, "accuracy, 95 % from": 60, "accuracy, 95 % to": 80},
      "accuracy, %",
      ("accuracy", "71.0%", "60.0 to 80.0"),
    ),
    (
      {"subset": "a", "accuracy, %": 71.0, "from": 60.0, "to": 80.0},
      "accuracy, %",
      ("accuracy", "71.0%", "60.0 to 80.0"),
    ),
    (
      {"model": "a", "rating": 1006.2, "95% from": 975.0, "to": 1038.5},
      "rating",
      ("rating", "1,006", "975.0 to 1,038"),
    ),
    ({"overall, share": 0.923}, "overall, share", ("overall", "92.3%", "")),
    (
      {"average": 8.675, "turn_1": 9.0, "turn_2": None},
      "average",
      ("average", "8.68", ""),
    ),
  ],
)
def test_intervals_are_read_from_the_figures_behind(figures, key, expected):
  assert shown(report_eval_figures.figure(figures, key)) == expected


def test_an_interval_ends_where_the_figure_must():
  figures = {"win_rate": 1.0, "standard_error": 2.0}
  found = report_eval_figures.figure(figures, "win_rate")
  assert (found.low, found.high) == (0.0, pytest.approx(4.92))


@pytest.mark.parametrize("error", [0.0, None, "a"])
def test_an_error_that_is_not_known_makes_no_interval(error):
  # All verdicts are the same: 0 does not say how sure their mean is.
  figures = {"win_rate": 0.0, "standard_error": error}
  assert not report_eval_figures.figure(figures, "win_rate").has_interval


@pytest.mark.parametrize("value", [None, math.nan, "text"])
def test_what_is_no_number_is_a_dash(value):
  assert report_eval_figures.figure({"a": value}, "a").text == "\N{EN DASH}"


@pytest.mark.parametrize(
  ("figures", "name"),
  [
    ({"n_total": 9, "win_rate": 5.0}, "win_rate"),
    ({"judgments": 160, "average": 8.0, "turn_1": 8.0}, "average"),
    ({"version": 1, "overall, share": 0.9}, "overall"),
    ({"prompts": 9, "prompt_strict, %": 3.0}, "prompt_strict"),
    ({"questions": 9, "acc, %": 3.0, "acc_norm, %": None}, "acc"),
    ({"pairs": 4, "x": 1.5, "y, %": 2.0}, "y"),
    ({"pairs": 4, "x": 1.5}, "x"),
    ({"pairs": 4}, "pairs"),
    ({"accuracy, %": None, "pairs": 4}, "accuracy"),
    (
      {"a, %": 1.0, "t acc": 0.5, "t acc, standard error": 0.1},
      "t acc",
    ),
  ],
)
def test_the_main_figure_is_what_the_benchmark_is_for(figures, name):
  found = report_eval_figures.main_figure(of(figures))
  assert found is not None and found.name == name


def test_an_evaluation_without_a_number_has_no_main_figure():
  assert report_eval_figures.main_figure(of({"constants": "official"})) is None
  assert report_eval_figures.main_figure(of({})) is None


def test_the_best_of_an_arena_is_its_main_figure():
  row = {"model": "best", "rating": 1100.0, "95% from": 1050.0, "to": 1150.0}
  found = report_eval_figures.main_figure(
    of({"verdicts": 9}, ratings=[row, {**row, "model": "other"}])
  )
  assert found is not None
  assert found.title == "rating of best, the best"
  assert found.interval == "1,050 to 1,150"


def test_win_rates_are_the_raw_one_and_the_controlled():
  found = report_eval_figures.win_rates(
    of(
      {
        "win_rate": 10.0,
        "standard_error": 1.0,
        "discrete_win_rate": 9.0,
        "length_controlled_winrate": 15.0,
        "lc_standard_error": 1.0,
        "length_controlled_minimal": None,
      }
    )
  )
  assert [(one.name, one.value) for one in found] == [
    ("win_rate", 10.0),
    ("length_controlled_winrate", 15.0),
  ]
  assert report_eval_figures.win_rates(of({"accuracy, %": 3.0})) == []


def test_counts_errors_and_texts_are_no_measures():
  row = {
    "subject": "law",
    "questions": 9,
    "acc, %": 3.0,
    "standard error": 1.0,
    "empty, %": None,
    "mean words": 4.0,
  }
  assert report_eval_figures.measures(row) == ["acc, %", "empty, %"]


def test_length_is_that_of_the_figures():
  assert (
    report_eval_figures.average_length(of({"avg_length, characters": 7})) == 7.0
  )
  assert math.isnan(report_eval_figures.average_length(of({"a": 1})))


def test_a_grade_is_of_ten_and_a_share_of_a_hundred():
  assert Figure("a", 1.0, unit="of 10").ends == (0.0, 10.0)
  assert Figure("a", 1.0, unit="%").ends == (0.0, 100.0)
  assert Figure("a", 1.0).ends is None


@pytest.mark.parametrize(
  ("key", "value", "text"),
  [
    ("ifeval prompt_level_strict_acc", 0.31, "31.0%"),
    ("inst_level_loose_acc (none)", 0.31, "31.0%"),
    ("drop f1", 0.4, "40.0%"),
    ("humaneval pass@1 (create_test)", 0.25, "25.0%"),
    ("humaneval pass@10", 1, "100.0%"),
    # Of another task it is in percent already.
    ("squadv2 f1", 71.5, "71.50"),
    ("bypass@1x", 0.25, "0.2500"),
  ],
)
def test_shares_of_the_harness_are_in_percent(key, value, text):
  assert report_eval_figures.figure({key: value}, key).text == text
