# SPDX-License-Identifier: Apache-2.0
"""Accuracy by kind, and nested settings."""

import math
import re

from ramjax.tools import report_tables
from ramjax.tools.report_run import Curve, Sample


def test_accuracy_is_counted_from_samples_without_evaluations():
  samples = [
    Sample(0, 0, "p", "r", None, "a", False),
    Sample(0, 1, "p", "r", None, "b", True),
    Sample(9, 0, "p", "r", None, "a", True),
    Sample(9, 1, "p", "r", None, "b", True),
    Sample(9, 2, "p", "r", None, "b", None),
  ]
  found = report_tables.accuracies({}, samples)
  assert found is not None and found.from_samples
  assert (found.first_step, found.last_step) == (0, 9)
  assert found.rows == [("all kinds", 0.5, 1), ("a", 0, 1), ("b", 1, 1)]
  assert "Counted from the samples" in report_tables.accuracy_tables(found)
  assert report_tables.accuracies({}, []) is None


def test_of_an_online_run_the_sampled_answers_are_counted():
  curves = {
    "eval/verified_accuracy": Curve([0, 9], [0.5, 0.6]),
    "eval/sampled/verified_accuracy": Curve([0, 9], [0.2, 0.4]),
    "eval/sampled/verified_accuracy/a": Curve([0, 9], [0.1, 0.3]),
  }
  found = report_tables.accuracies(curves, [])
  assert found is not None and found.sampled
  assert found.rows == [("all kinds", 0.2, 0.4), ("a", 0.1, 0.3)]
  assert "drawn as in training" in report_tables.accuracy_tables(found)


def test_many_kinds_are_two_tables_best_first():
  rows = [report_tables.Accuracy("all kinds", 0.0, 0.5)]
  shares = {"b": 0.1, "a": 0.1, "c": 0.9, "d": math.nan}
  rows += [report_tables.Accuracy(k, 0.0, v) for k, v in shares.items()]
  found = report_tables.Accuracies(0, 9, rows, from_samples=False)
  one = report_tables.accuracy_tables(found)
  names = re.findall('<th scope="row">(.*?)</th>', one)
  assert names == ["all kinds", "c", "a", "b", "d"]
  assert one.count("<table") == 1
  more = [report_tables.Accuracy(f"k{i}", 0.0, 0.0) for i in range(20)]
  two = report_tables.accuracy_tables(found._replace(rows=rows + more))
  assert two.count("<table") == 2
  assert two.count('<th scope="row">') == 25


def test_flatten_keeps_order_and_stops_at_plain_lists():
  tree = {"b": {"y": 1, "x": [1, 2]}, "a": [{"k": None}], "e": {}}
  assert report_tables.flatten(tree) == [
    ("b.y", 1),
    ("b.x", [1, 2]),
    ("a[0].k", None),
    ("e", {}),
  ]


def test_deep_nesting_is_flattened_without_recursion():
  tree: dict = {}
  for _ in range(5_000):
    tree = {"a": tree}
  ((path, leaf),) = report_tables.flatten(tree)
  assert path.count("a") == 5_000 and leaf == {}


def test_long_settings_are_cut_and_say_so():
  page = report_tables.settings({"g": {str(i): i for i in range(999)}})
  assert "999 entries" in page
  assert "The first 800 of 999 entries are shown." in page
