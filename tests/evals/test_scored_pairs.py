# SPDX-License-Identifier: Apache-2.0
"""Figures and tables of scored pairs, by hand."""

import math

import pytest

from ramjax.data.wilson import wilson_interval
from ramjax.evals import scored_pairs
from ramjax.evals.scored_pairs import ScoredPair

_LOG3 = math.log(3)
# Right and wrong by log 3 (sure to 0.75), a tie, and right by 2.
_PAIRS = [
  ScoredPair("row 1", "b", _LOG3, 0.0, 4, 2),
  ScoredPair("row 2", "b", 0.0, _LOG3, 1, 5),
  ScoredPair("row 3", "a", 1.5, 1.5, 3, 3),
  ScoredPair("row 4", None, 0.0, -2.0, 9, 1),
]


def test_figures_by_hand():
  found = scored_pairs.figures(_PAIRS)
  low, high = wilson_interval(2.5, 4)
  sure = 1 / (1 + math.exp(-2))
  assert found == pytest.approx(
    {
      "pairs": 4,
      "accuracy, %": 62.5,
      "accuracy, 95 % from": 100 * low,
      "accuracy, 95 % to": 100 * high,
      "mean margin": 2 / 4,
      "mean score, chosen": (_LOG3 + 1.5) / 4,
      "mean score, rejected": (_LOG3 + 1.5 - 2) / 4,
      # A tie is right and sure by a half, which is no gap.
      "calibration error, share": (2 * 0.25 + (1 - sure)) / 4,
      "mean length, chosen, tokens": 17 / 4,
      "mean length, rejected, tokens": 11 / 4,
    }
  )
  assert scored_pairs.num_ties(_PAIRS) == 1


def test_tables_by_hand():
  found = scored_pairs.tables(_PAIRS)

  def shares(name, column):
    return [(r[column], r["pairs"], r["accuracy, %"]) for r in found[name]]

  assert shares("by subset", "subset") == [
    ("(none)", 1, 100.0),
    ("a", 1, 50.0),
    ("b", 2, 50.0),
  ]
  assert shares("by length", "chosen is") == [
    ("as long", 1, 50.0),
    ("longer", 2, 100.0),
    ("shorter", 1, 0.0),
  ]
  low, high = wilson_interval(1, 2)
  row = found["by subset"][2]
  assert (row["from"], row["to"]) == (100 * low, 100 * high)
  assert [
    (r["from"], r["to"], r["pairs"], r["accuracy, share"])
    for r in found["calibration"]
  ] == [(0.5, 0.6, 1, 0.5), (0.7, 0.8, 2, 0.5), (0.8, 0.9, 1, 1.0)]
  assert found["calibration"][1]["mean confidence"] == pytest.approx(0.75)


def test_without_subsets_there_is_no_table_of_them():
  pairs = [pair._replace(subset=None) for pair in _PAIRS]
  assert list(scored_pairs.tables(pairs)) == ["by length", "calibration"]
