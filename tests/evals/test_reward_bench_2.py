# SPDX-License-Identifier: Apache-2.0
"""RewardBench 2: shares of the first place, Ties, and the paper's averages."""

import csv
import math
import pathlib

import numpy as np
import pytest

from ramjax.evals import reward_bench_2

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/reward_bench"


def _ties(name, right, wrong):
  return reward_bench_2.Item(
    f"f:{name}", "Ties", name, (*right, *wrong), len(right), None
  )


@pytest.mark.parametrize(
  "scores,expected",
  [
    ([3, 1, 2, 0], 1.0),
    ([2, 1, 2, 0], 1 / 2),
    ([2, 2, 2, 0], 1 / 3),
    ([0, 0, 0, 0], 1 / 4),
    ([1, 2, 2, 0], 0.0),
  ],
)
def test_a_shared_first_place_counts_its_share(scores, expected):
  assert reward_bench_2.score_item(scores) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused(bad):
  with pytest.raises(ValueError, match="finite"):
    reward_bench_2.score_item([1.0, bad, 0.0, 0.0])


def test_averages_of_the_paper_are_unweighted_means():
  path = _DATA / "v2_paper_tables.csv"
  if not path.exists():
    pytest.skip("needs v2_paper_tables.csv of the shared data")
  with path.open() as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 50
  for row in rows:
    results = {
      name: float(row[name.lower().replace(" ", "_")]) / 100
      for name in reward_bench_2.NUM_ITEMS
    }
    evaluation, _ = reward_bench_2.evaluate_results(results, "m", "f")
    # Both sides are rounded to 0.1: by 0.05 at most, each.
    assert 100 * evaluation.figures["overall, share"] == pytest.approx(
      float(row["average"]), abs=0.1
    )


def test_without_a_subset_there_is_no_overall_score():
  evaluation, _ = reward_bench_2.evaluate_results({"Math": 0.5}, "m", "f")
  assert evaluation.figures["overall, share"] is None
  assert evaluation.counted["subsets missing"] == 5
  assert any("Factuality" in note for note in evaluation.notes)


def test_ties_by_hand():
  found = reward_bench_2.ties_score(
    [
      # Gap 1 over a spread of 0.5 and, with one right answer, gap 0.25.
      _ties("tied:1", [3.5, 3.0], [2.0, 1.0]),
      _ties("ref:1", [1.25], [1.0, 0.0]),
      # Gap -1 over a spread of 2, and gap 4.
      _ties("tied:2", [4.0, 2.0], [3.0]),
      _ties("ref:2", [4.0], [0.0]),
      _ties("ref:3", [0.0], [1.0]),
    ]
  )
  margin = (math.tanh(0.25 / 0.5 - 1) + math.tanh(-1 / 2 - 1)) / 2
  assert found.tied_accuracy == 0.5
  assert found.ref_accuracy == pytest.approx(2 / 3)
  assert found.gap_over_spread == 0.5
  assert found.both_gaps_over_spread == 0.0
  assert found.margin == pytest.approx(margin)
  assert found.unpaired == 1
  assert found.score == pytest.approx(0.15 + 0.2 + 0.1 + 0.01 * margin)


@pytest.mark.parametrize("wrong,margin", [(0.0, 1.0), (2.0, -1.0), (1.0, 0.0)])
def test_a_spread_of_zero_counts_by_the_sign_of_the_gap(wrong, margin):
  items = [_ties("tied:1", [1.0, 1.0], [wrong]), _ties("ref:1", [9.0], [0.0])]
  if wrong > 1:
    items[1] = _ties("ref:1", [0.0], [9.0])
  assert reward_bench_2.ties_score(items).margin == margin


def test_the_best_score_of_ties_is_a_little_above_one():
  items = [_ties("tied:1", [1.0, 1.0], [0.0]), _ties("ref:1", [1.0], [0.0])]
  assert reward_bench_2.ties_score(items).score == pytest.approx(1.01)


def test_ties_agree_with_the_formula_in_arrays():
  rng = np.random.default_rng(0)
  items, gaps, spreads = [], {"ref": [], "tied": []}, []
  for question in range(40):
    for kind in ("ref", "tied"):
      k = 1 if kind == "ref" else int(rng.integers(2, 6))
      right = rng.integers(0, 12, k) / 2 + 2
      wrong = rng.integers(0, 12, 5) / 2
      items.append(_ties(f"{kind}:{question}", right.tolist(), wrong.tolist()))
      gaps[kind].append(right.min() - wrong.max())
      if kind == "tied":
        spreads.append(np.ptp(right))
  ref, tied, spread = (np.array(x) for x in (*gaps.values(), spreads))
  least = np.minimum(ref, tied)
  with np.errstate(divide="ignore", invalid="ignore"):
    margin = np.nan_to_num(np.tanh(least / spread - 1), nan=0.0).mean()
  expected = (
    0.3 * (tied > 0).mean()
    + 0.3 * (ref > 0).mean()
    + 0.2 * (tied > spread).mean()
    + 0.2 * (least > spread).mean()
    + 0.01 * margin
  )
  rng.shuffle(items)
  found = reward_bench_2.ties_score(items)
  assert found.score == pytest.approx(expected, abs=1e-12)


def test_ties_without_a_question_of_both_kinds_are_refused():
  with pytest.raises(ValueError, match="no question has both"):
    reward_bench_2.ties_score(
      [_ties("tied:1", [1.0, 2.0], [0.0]), _ties("ref:2", [1.0], [0.0])]
    )


def test_a_question_that_stands_twice_is_refused():
  items = [_ties("ref:1", [1.0], [0.0]), _ties("ref:01", [1.0], [0.0])]
  with pytest.raises(ValueError, match="stands twice"):
    reward_bench_2.ties_score(items)


_MATH = {"subset": "Math", "id": "a", "scores": [1.0, 0.0, 0.0, 0.0]}
_TIED = {
  "subset": "Ties",
  "id": "tied:4",
  "scores": [3, 2.5, 1],
  "num_correct": 2,
}


def test_records_are_read():
  item = reward_bench_2.read_item(
    {**_MATH, "results": 1, "num_correct": 1}, "f"
  )
  assert (item.id, item.score, item.num_correct) == ("a", 1.0, 1)
  tied = reward_bench_2.read_item({**_TIED, "results": None}, "f")
  assert tied.scores == (3.0, 2.5, 1.0) and tied.score is None
  verdict = reward_bench_2.read_item({"subset": "Math", "results": 0.25}, "f")
  assert verdict.score == 0.25


@pytest.mark.parametrize(
  "record,message",
  [
    ({**_MATH, "subset": "hep-go"}, "'hep-go' is not one of"),
    ({**_MATH, "scores": [1.0, 0.0, 0.0]}, "3 scores"),
    ({**_MATH, "scores": [1.0, 0.0, 0.0, None]}, "a score is missing"),
    ({**_MATH, "scores": [1.0, 0.0, 0.0, math.nan]}, "finite"),
    ({**_MATH, "scores": 1.0}, "scores is a float"),
    ({**_MATH, "num_correct": 2}, "one answer is right"),
    ({**_MATH, "results": 0.5}, "make it 1"),
    ({"subset": "Math"}, "results is missing"),
    ({"subset": "Math", "results": 0.3}, "results=0.3"),
    ({**_TIED, "id": "4"}, 'is "ref:K"'),
    ({**_TIED, "id": None}, 'is "ref:K"'),
    ({**_TIED, "id": "tied:x"}, 'is "ref:K"'),
    ({**_TIED, "id": "ref:4"}, "num_correct=2"),
    ({**_TIED, "num_correct": 1}, "num_correct=1"),
    ({**_TIED, "num_correct": 3}, "wrong answers too"),
    ({**_TIED, "num_correct": 1.5}, "num_correct=1.5"),
    ({**_TIED, "num_correct": None}, "num_correct is missing"),
    ({**_TIED, "scores": None}, "scores is a NoneType"),
  ],
)
def test_a_record_that_is_none_is_refused_with_its_place(record, message):
  with pytest.raises(ValueError, match=message) as error:
    reward_bench_2.read_item(record, "scores.jsonl:3")
  assert str(error.value).startswith("scores.jsonl:3: ")


def test_items_make_the_scores_of_subsets():
  records = [
    _MATH,
    {**_MATH, "id": "b", "scores": [1.0, 1.0, 0.0, 0.0]},
    _TIED,
    {"subset": "Ties", "id": "ref:4", "scores": [1, 0], "num_correct": 1},
  ]
  items = [
    reward_bench_2.read_item(record, f"f:{i}")
    for i, record in enumerate(records)
  ]
  evaluation, scores = reward_bench_2.evaluate_items(items, "m")
  assert scores["Math"] == 0.75
  # The smaller gap is 1, and the spread 0.5.
  assert scores["Ties"] == pytest.approx(1 + 0.01 * math.tanh(1))
  partly = "items that count in part: a shared first place, or no verdict"
  assert evaluation.counted[partly] == 1
  with pytest.raises(ValueError, match="count twice"):
    reward_bench_2.evaluate_items([*items, items[0]._replace(where="g")], "m")


def test_only_ties_may_exceed_one():
  with pytest.raises(ValueError, match=r"Math=1.005"):
    reward_bench_2.evaluate_results({"Math": 1.005}, "m", "f")
  reward_bench_2.evaluate_results({"Ties": 1.005}, "m", "f")
  with pytest.raises(ValueError, match="divide percentages"):
    reward_bench_2.evaluate_results({"Ties": 85.0}, "m", "f")
