# SPDX-License-Identifier: Apache-2.0
"""RewardBench 1: the item's rule, weights, and the published figures."""

import csv
import json
import math
import pathlib

import pytest

from ramjax.evals import reward_bench

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/reward_bench"
_REASONING = reward_bench.SECTIONS["Reasoning"]


def _item(subset, score, *, name=None, where="f:1"):
  return reward_bench.Item(where, subset, name, score)


def _data(name):
  if not (_DATA / name).exists():
    pytest.skip(f"needs {name} of the shared data")
  return _DATA / name


def _every(accuracy):
  names = [name for s in reward_bench.SECTIONS.values() for name in s]
  return dict.fromkeys(names, accuracy)


def test_the_chosen_has_to_score_strictly_more():
  assert reward_bench.score_item(0.1, 0.0) == 1.0
  assert reward_bench.score_item(0.0, 0.0) == 0.0
  assert reward_bench.score_item(-1.0, 0.0) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_refused(bad):
  with pytest.raises(ValueError, match="finite"):
    reward_bench.score_item(bad, 0.0)
  with pytest.raises(ValueError, match="finite"):
    reward_bench.score_item(0.0, bad)


def test_there_are_as_many_items_as_published():
  subsets = [name for s in reward_bench.SECTIONS.values() for name in s]
  assert len(subsets) == 23
  assert sum(reward_bench.NUM_ITEMS[name] for name in subsets) == 2985


def test_weights_are_those_of_the_authors():
  constants = json.loads(_data("v1_constants.json").read_text())
  sections = {k: list(s) for k, s in reward_bench.SECTIONS.items()}
  assert sections == constants["subset_mapping"]
  weights = {k: n for s in reward_bench.SECTIONS.values() for k, n in s.items()}
  assert weights == constants["example_counts"]
  assert dict(reward_bench.SECTION_WEIGHTS) == constants["section_weights"]
  assert list(reward_bench.PRIOR_SETS) == constants["prior_sets"]


def test_published_section_scores_come_out():
  with _data("v1_expected_section_scores.csv").open() as file:
    expected = {row["model"]: row for row in csv.DictReader(file)}
  paths = sorted(_data("v1_results").glob("*.json"))
  assert paths
  for path in paths:
    results = json.loads(path.read_text())
    evaluation, _ = reward_bench.evaluate_results(results, "m", path.name)
    row = expected.pop(results["model"])
    for section in reward_bench.SECTIONS:
      assert evaluation.figures[f"{section}, share"] == pytest.approx(
        float(row[section]), abs=1e-9
      )
    assert evaluation.figures["overall, share"] == pytest.approx(
      float(row["average_no_prior"]), abs=1e-9
    )
    assert not evaluation.counted
  assert not expected


def test_math_weighs_as_much_as_code():
  accuracies = {**dict.fromkeys(_REASONING, 0.0), "math-prm": 1.0}
  assert reward_bench.section_scores(accuracies)["Reasoning"] == 0.5


def test_prior_sets_are_a_plain_mean_and_count_half():
  accuracies = {**_every(1.0), "anthropic_hhh": 0.0, "summarize": 0.5}
  sections = reward_bench.section_scores(accuracies)
  assert sections["Prior Sets"] == 0.25
  overall = reward_bench.overall_score(sections)
  assert overall == pytest.approx((4 + 0.5 * 0.25) / 4.5)


def test_without_prior_sets_the_overall_score_is_the_mean_of_four():
  sections = reward_bench.section_scores(_every(1.0) | {"math-prm": 0.0})
  assert sections["Prior Sets"] is None
  assert reward_bench.overall_score(sections) == pytest.approx(3.5 / 4)


def test_a_missing_section_is_left_out_and_said():
  some = {"math-prm": 0.5, "alpacaeval-easy": 1.0, "shp": 0.0}
  evaluation, _ = reward_bench.evaluate_results(some, "m", "f")
  assert evaluation.figures["Safety, share"] is None
  assert evaluation.figures["overall, share"] == pytest.approx(1.5 / 2.5)
  assert evaluation.counted["subsets missing"] == 21
  assert any("donotanswer" in note for note in evaluation.notes)


def test_nothing_has_no_overall_score():
  assert reward_bench.overall_score(reward_bench.section_scores({})) is None


def test_items_make_the_mean_of_their_subset_and_are_counted():
  items = [
    _item("hep-go", 1.0, name="1", where="f:1"),
    _item("hep-go", 0.0, name="2", where="f:2"),
    _item("hep-go", 0.5, where="f:3"),
    _item("pku_better", 1.0, name="1", where="f:4"),
  ]
  evaluation, accuracies = reward_bench.evaluate_items(items, "m")
  assert accuracies["hep-go"] == 0.5
  assert evaluation.figures["Reasoning, share"] == 0.5
  counted = evaluation.counted
  assert counted["items without an id, whose doubles cannot be told"] == 1
  assert counted["items whose verdict could not be read, half right"] == 1
  assert counted["prior sets that are part of no score, left out"] == 1
  official = "subsets of another number of items than the official one"
  assert counted[official] == 1
  (row,) = (x for x in evaluation.tables["subsets"] if x["subset"] == "hep-go")
  assert (row["items"], row["official"]) == (3, 164)


def test_all_items_leave_nothing_to_count():
  items = [
    _item(name, 1.0, name=f"{name}{i}", where=f"f:{name}{i}")
    for name in _every(0)
    for i in range(reward_bench.NUM_ITEMS[name])
  ]
  evaluation, _ = reward_bench.evaluate_items(items, "m")
  assert evaluation.figures["overall, share"] == 1.0
  assert not evaluation.counted


def test_a_record_of_scores_and_one_of_a_verdict():
  scored = {
    "subset": "shp",
    "id": 7,
    "scores_chosen": 2,
    "scores_rejected": 1.5,
    "results": 1,
  }
  assert reward_bench.read_item(scored, "f:1") == ("f:1", "shp", "7", 1.0)
  verdict = {
    "subset": "shp",
    "results": 0.5,
    "scores_chosen": None,
    "scores_rejected": None,
  }
  assert reward_bench.read_item(verdict, "f:2") == ("f:2", "shp", None, 0.5)


_SCORED = {"subset": "shp", "scores_chosen": 1.0, "scores_rejected": 1.0}


@pytest.mark.parametrize(
  "record,message",
  [
    ([], "not an object"),
    (ValueError("NaN is not JSON"), "NaN is not JSON"),
    ({**_SCORED, "subset": "Factuality"}, "'Factuality' is not one of"),
    ({**_SCORED, "subset": None}, "is not one of"),
    ({**_SCORED, "scores_chosen": None}, "scores_chosen is missing"),
    ({**_SCORED, "scores_rejected": "1"}, "scores_rejected is a str"),
    ({**_SCORED, "scores_chosen": True}, "scores_chosen is a bool"),
    ({**_SCORED, "scores_chosen": 10**399}, "too large"),
    ({**_SCORED, "results": 1}, "make it 0"),
    ({**_SCORED, "id": 1.5}, "id is a float"),
    ({"subset": "shp"}, "results is missing"),
    ({"subset": "shp", "results": 0.7}, "results=0.7"),
  ],
)
def test_a_record_that_is_none_is_refused_with_its_place(record, message):
  with pytest.raises(ValueError, match=message) as error:
    reward_bench.read_item(record, "scores.jsonl:3")
  assert str(error.value).startswith("scores.jsonl:3: ")


def test_an_item_that_stands_twice_is_refused():
  items = [
    _item("shp", 1.0, name="4", where="f:1"),
    _item("summarize", 1.0, name="4", where="f:2"),
  ]
  reward_bench.evaluate_items(items, "m")
  items.append(_item("shp", 0.0, name="4", where="f:3"))
  with pytest.raises(ValueError, match=r"f:3: id='4' of shp is also at f:1"):
    reward_bench.evaluate_items(items, "m")


def test_no_items_are_refused():
  with pytest.raises(ValueError, match="no items"):
    reward_bench.evaluate_items([], "m")


@pytest.mark.parametrize(
  "results,message",
  [
    ({"model": "m"}, "no figure"),
    ({"hep-go": 81.0}, "divide percentages by 100"),
    ({"hep-go": -0.1}, "share in"),
    ({"hep-go": "0.5"}, "hep-go is a str"),
    ({"hep-go": 0.5, "Ties": 0.5}, "'Ties' is not one of"),
  ],
)
def test_results_that_are_none_are_refused(results, message):
  with pytest.raises(ValueError, match=message):
    reward_bench.evaluate_results(results, "m", "results.json")
