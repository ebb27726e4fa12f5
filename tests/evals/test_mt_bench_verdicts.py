# SPDX-License-Identifier: Apache-2.0
"""Verdicts of MT-Bench's judge, by hand and against recorded ones."""

import pathlib

import pytest

from ramjax.evals import mt_bench_files, mt_bench_verdicts

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"


@pytest.mark.parametrize(
  "judgment,score",
  [
    ("Rating: [[5]]", 5),
    ("Rating: [[8.5]].", 8.5),
    ("[[7.]]", 7.0),
    ("first [[3]], then [[9]]", 3),
    # Double brackets count before single ones, wherever they stand.
    ("as in [1], so [[6]]", 6),
    ("Rating: [4] of [10]", 4),
    ("[[5]", 5),
    ("[[rating]]", -1),
    ("[[5/10]]", -1),
    ("[[-5]]", -1),
    ("[[.5]]", -1),
    ("[[ 5 ]]", -1),
    ("$ERROR$", -1),
    ("", -1),
    # No size is checked.
    ("[[100]]", 100),
    ("[[0]]", 0),
    ("[[08]]", 8),
    # No other digits than ASCII's, and nothing that a float cannot hold.
    ("[[\uff15]]", -1),
    (f"[[{'9' * 5000}]]", -1),
    (f"[[{'0' * 5000}7]]", 7),
  ],
)
def test_the_score_is_the_first_number_in_brackets(judgment, score):
  found = mt_bench_verdicts.read_score(judgment)
  assert found == score
  assert type(found) is type(score)


def test_a_long_row_of_digits_costs_no_more_than_its_length():
  # Were it quadratic, this would take hours.
  text = "[[" + "1" * 1_000_000
  assert mt_bench_verdicts.read_score(text) == -1
  two = "[[rating_a,rating_b]]"
  assert mt_bench_verdicts.read_pair(text, two) == "error"


@pytest.mark.parametrize(
  "judgment,verdict",
  [
    ("so [[A]]", "A"),
    ("so [[B]]", "B"),
    ("so [[C]]", "tie"),
    # Not the first that stands there, but the first that is asked for.
    ("[[C]] or [[B]] or [[A]]", "A"),
    ("[[C]], no: [[B]]", "B"),
    ("[A]", "error"),
    ("[[a]]", "error"),
    ("$ERROR$", "error"),
  ],
)
def test_letters_count_by_priority(judgment, verdict):
  assert mt_bench_verdicts.read_pair(judgment) == verdict


@pytest.mark.parametrize(
  "judgment,verdict",
  [
    ("[[8,7]]", "A"),
    ("[[7, 8.5]]", "B"),
    ("[[8, 8]]", "tie"),
    ("[[8.5,8.4]]", "tie"),
    ("[[8.4, 8.5]]", "tie"),
    ("[[8.5,8.3]]", "A"),
    # 1.1 - 1.0 is a little over 0.1 as floats: the authors' tool, too, says so.
    ("[[1.1,1.0]]", "A"),
    ("[1,2] but [[9,2]]", "A"),
    ("[1,2]", "B"),
    ("[[1,  2]]", "error"),
    ("[[8]]", "error"),
    ("[[A]]", "error"),
    (f"[[{'9' * 400},{'9' * 400}]]", "error"),
  ],
)
def test_two_ratings_are_compared(judgment, verdict):
  two = "[[rating_a,rating_b]]"
  assert mt_bench_verdicts.read_pair(judgment, two) == verdict


def test_another_output_format_is_refused():
  with pytest.raises(ValueError, match=r"output_format='\[\[rating\]\]'"):
    mt_bench_verdicts.read_pair("[[A]]", "[[rating]]")


@pytest.mark.parametrize(
  "verdict,straight,swapped",
  [
    ("A", "model_1", "model_2"),
    ("B", "model_2", "model_1"),
    ("tie", "tie", "tie"),
    ("error", "error", "error"),
  ],
)
def test_places_are_mapped_back_to_models(verdict, straight, swapped):
  assert mt_bench_verdicts.winner(verdict, swapped=False) == straight
  assert mt_bench_verdicts.winner(verdict, swapped=True) == swapped


def test_every_recorded_score_is_had_again():
  path = _DATA / "judgments_gpt-4_single.jsonl.gz"
  if not path.is_file():
    pytest.skip("the recorded judgments are not here")
  rows = mt_bench_files.read_judgments(path)
  assert len(rows) == 650
  wrong = [
    row.where
    for row in rows
    if mt_bench_verdicts.read_score(row.judgment) != row.score
  ]
  assert not wrong
