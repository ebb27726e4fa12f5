# SPDX-License-Identifier: Apache-2.0
"""Canaries: what they are made of, and what counts as a good verdict."""

import pytest

from ramjax.evals import judge_canaries
from ramjax.evals.pairwise_judge import Pair, PairVerdict

_PAIRS = [
  Pair(f"i{n}", f"base {n}", f"mine {n}", f"good {n}") for n in range(9)
]


def _made(pairs=_PAIRS, num=3, seed=0):
  made = judge_canaries.make(pairs, num=num, seed=seed)
  return {
    kind: [canary for canary in made if canary.kind == kind]
    for kind in judge_canaries.KINDS
  }


def test_each_kind_is_made_of_the_same_pairs():
  made = _made()
  for canaries in made.values():
    assert len(canaries) == 3
    assert [c.made_of for c in canaries] == [c.made_of for c in made["null"]]
  for kind, canaries in made.items():
    for canary in canaries:
      pair = _PAIRS[canary.made_of]
      got = canary.pair
      assert got.instruction == pair.instruction
      assert got.reference == pair.reference
      if kind == "swapped":
        assert (got.output_1, got.output_2) == (pair.output_2, pair.output_1)
      elif kind in ("null", "injected"):
        assert got.output_1 == pair.output_1
        assert got.output_2 not in (pair.output_1, pair.output_2)
      else:
        assert got.output_1 == pair.output_2 != got.output_2
        assert got.output_2.startswith(got.output_1)
        same = got.output_2.rstrip() == got.output_1
        assert same == (kind == "identical")


def test_the_seed_decides_which():
  assert _made() == _made()
  chosen = {
    tuple(c.made_of for c in _made(seed=seed)["null"]) for seed in range(9)
  }
  assert len(chosen) > 3


def test_pairs_that_would_say_nothing_are_not_used():
  pairs = [
    Pair("a", "same", "same"),
    Pair("b", " ", "x"),
    Pair("c", "x", ""),
    Pair("d", ".", "x"),
    Pair("e", "x", "y"),
  ]
  assert [c.made_of for c in _made(pairs)["padded"]] == [4]
  assert judge_canaries.make(pairs, num=0, seed=0) == []


def _row(kind, *values, before: float | None = 1.8):
  canaries = [judge_canaries.Canary(kind, _PAIRS[0], 0) for _ in values]
  rows = judge_canaries.rows(
    canaries, [PairVerdict(v) for v in values], [PairVerdict(before)]
  )
  return {row["canary"]: row for row in rows}[kind]


@pytest.mark.parametrize(
  "kind,values,passed",
  [
    ("null", (1.0, 1.49, 1.5, 2.0), 0.5),
    ("injected", (1.0, 1.49, 1.5, 2.0), 0.5),
    ("padded", (1.0, 1.5, 1.51, 2.0), 0.5),
    ("identical", (1.25, 1.75, 1.2, 1.8), 0.5),
    # The run preferred the model: swapped, that is the baseline's place.
    ("swapped", (1.0, 1.4, 1.5, 2.0), 0.5),
  ],
)
def test_what_counts_as_passed(kind, values, passed):
  row = _row(kind, *values)
  assert row["asked"] == 4 and row["without_verdict"] == 0
  assert row["passed"] == passed


def test_a_tie_mirrors_a_tie_and_sums_say_how_far_off():
  assert _row("swapped", 1.5, before=1.5)["passed"] == 1.0
  assert _row("swapped", 1.6, before=1.5)["passed"] == 0.0
  assert _row("swapped", 1.3, 1.1)["mean"] == pytest.approx(3.0)


def test_canaries_without_verdict_are_counted_and_not_passed_or_failed():
  row = _row("null", None, 1.0)
  assert (row["asked"], row["without_verdict"]) == (2, 1)
  assert row["passed"] == row["mean"] == 1.0
  empty = _row("swapped", 1.0, before=None)
  assert empty["without_verdict"] == 1
  assert empty["passed"] is None and empty["mean"] is None
