# SPDX-License-Identifier: Apache-2.0
"""MT-Bench's means, by hand, by a plain loop and against published rules."""

import csv
import pathlib
import random
import statistics

import pytest

from ramjax.evals import mt_bench_files, mt_bench_scores
from ramjax.evals.mt_bench_files import Judgment, Question

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/mt_bench"


def _questions(**categories):
  """`writing=[1, 2]`: questions of two turns."""
  return {
    number: Question(
      question_id=number,
      category=category,
      turns=("a", "b"),
      reference=None,
      where="q",
    )
    for category, numbers in categories.items()
    for number in numbers
  }


def _row(question_id, turn, score, *, model="m", judge="j", text=None):
  return Judgment(
    question_id=question_id,
    model=model,
    judge=(judge, "single-v1"),
    user_prompt=None,
    judgment=f"[[{score}]]" if text is None else text,
    score=score,
    turn=turn,
    tstamp=None,
    extra={},
    where="j:1",
  )


def test_the_average_is_over_all_judgments_and_not_over_the_turns():
  rows = [_row(1, 1, 9), _row(2, 1, 6), _row(1, 2, 3)]
  found = mt_bench_scores.evaluate(
    rows, _questions(writing=[1], math=[2, 3]), model="m"
  )
  assert found.figures == {
    "average": 6.0,
    "turn_1": 7.5,
    "turn_2": 3.0,
    "judgments": 3,
  }
  assert found.tables["by category"] == [
    {
      "category": "writing",
      "average": 6.0,
      "turn_1": 9.0,
      "turn_2": 3.0,
      "judgments": 2,
    },
    {
      "category": "math",
      "average": 6.0,
      "turn_1": 6.0,
      "turn_2": None,
      "judgments": 1,
    },
  ]
  # Of 3 questions with 2 turns, 3 turns are judged.
  assert found.counted[mt_bench_scores.MISSING] == 3
  assert found.notes == ()


def test_judgments_without_a_score_are_left_out_and_counted():
  rows = [_row(1, 1, 8), _row(1, 2, -1, text="$ERROR$"), _row(2, 1, -1.0)]
  found = mt_bench_scores.evaluate(rows, _questions(stem=[1, 2]), model="m")
  assert found.figures["average"] == 8.0
  assert found.figures["turn_2"] is None
  assert found.counted[mt_bench_scores.UNSCORED] == 2
  # They were judged, if to no end: one alone was not.
  assert found.counted[mt_bench_scores.MISSING] == 1


def test_repeated_judgments_count_again_and_are_counted():
  rows = [_row(1, 1, 2), _row(1, 1, 2), _row(1, 1, 8), _row(1, 2, 4)]
  found = mt_bench_scores.evaluate(rows, _questions(stem=[1]), model="m")
  assert found.figures["turn_1"] == 4.0
  assert found.figures["judgments"] == 4
  assert found.counted[mt_bench_scores.REPEATED] == 2
  assert found.counted[mt_bench_scores.MISSING] == 0


def test_a_score_that_the_words_do_not_give_is_kept_and_counted():
  rows = [_row(1, 1, 2, text="[[9]]"), _row(1, 2, 4)]
  found = mt_bench_scores.evaluate(rows, None, model="m")
  assert found.figures["average"] == 3.0
  assert found.counted[mt_bench_scores.DIFFERENT] == 1


def test_no_size_of_a_score_is_refused():
  found = mt_bench_scores.evaluate(
    [_row(1, 1, 100), _row(1, 2, 0)], None, model="m"
  )
  assert found.figures["average"] == 50.0


def test_a_model_without_any_score_has_no_average():
  rows = [_row(1, 1, -1, text="")]
  found = mt_bench_scores.evaluate(rows, _questions(stem=[1]), model="m")
  assert found.figures == {
    "average": None,
    "turn_1": None,
    "turn_2": None,
    "judgments": 0,
  }


def test_without_questions_there_are_no_categories():
  found = mt_bench_scores.evaluate([_row(1, 1, 5)], None, model="m")
  assert not found.tables
  assert mt_bench_scores.MISSING not in found.counted


def test_several_judges_are_warned_of():
  rows = [_row(1, 1, 5), _row(1, 1, 7, judge="k")]
  found = mt_bench_scores.evaluate(rows, None, model="m")
  assert "2 judges" in found.notes[0]
  assert "j 1, k 1" in found.notes[0]
  # Another judge's judgment repeats nothing.
  assert found.counted[mt_bench_scores.REPEATED] == 0


def test_a_model_that_is_not_there_is_refused():
  with pytest.raises(ValueError, match=r"model='n' .* the models are m\."):
    mt_bench_scores.evaluate([_row(1, 1, 5)], None, model="n")


def test_a_plain_loop_finds_the_same_in_any_order():
  draw = random.Random(0)
  questions = _questions(writing=range(5), math=range(5, 9), stem=[9])
  rows = [
    _row(
      draw.randrange(10),
      draw.randrange(1, 3),
      draw.choice([-1, 1, 2.5, 7, 10]),
      model=draw.choice("mn"),
    )
    for _ in range(300)
  ]
  found = mt_bench_scores.evaluate(rows, questions, model="m")
  for name, turns in (("average", (1, 2)), ("turn_1", (1,)), ("turn_2", (2,))):
    for place in (None, "writing", "math", "stem"):
      scores = []
      for row in rows:
        inside = place in (None, questions[row.question_id].category)
        if row.model == "m" and row.score >= 0 and row.turn in turns and inside:
          scores.append(row.score)
      figures = found.figures
      if place is not None:
        figures = next(
          r for r in found.tables["by category"] if r["category"] == place
        )
      assert figures[name] == pytest.approx(statistics.fmean(scores), abs=1e-12)
  draw.shuffle(rows)
  assert mt_bench_scores.evaluate(rows, questions, model="m") == found


def test_the_expected_scores_of_recorded_judgments_are_met():
  if not _DATA.is_dir():
    pytest.skip("the MT-Bench files are not here")
  questions = mt_bench_files.read_questions(_DATA / "question.jsonl")
  judgments = mt_bench_files.read_judgments(
    _DATA / "judgments_gpt-4_single.jsonl.gz"
  )
  with (_DATA / "expected_single_scores.csv").open(newline="") as file:
    expected = list(csv.DictReader(file))
  assert {row["model"] for row in expected} == {row.model for row in judgments}
  for row in expected:
    found = mt_bench_scores.evaluate(judgments, questions, model=row["model"])
    for name in ("turn_1", "turn_2", "average"):
      assert abs(found.figures[name] - float(row[name])) <= 1e-9
    assert found.figures["judgments"] == int(row["n"])
    by_category = {r["category"]: r for r in found.tables["by category"]}
    assert by_category.keys() == row.keys() - {
      *("model", "turn_1", "turn_2", "average", "n")
    }
    for category, of_category in by_category.items():
      assert abs(of_category["average"] - float(row[category])) <= 1e-9
    all_rows = sum(judgment.model == row["model"] for judgment in judgments)
    unscored = found.counted[mt_bench_scores.UNSCORED]
    assert all_rows == int(row["n"]) + unscored
    assert found.counted[mt_bench_scores.DIFFERENT] == 0
    assert found.counted[mt_bench_scores.MISSING] == 0
    asked = 2 * len(questions)
    assert found.counted[mt_bench_scores.REPEATED] == all_rows - asked
