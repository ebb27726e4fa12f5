# SPDX-License-Identifier: Apache-2.0
"""MT-Bench's shares of wins, by hand and by a plain loop."""

import random

import pytest

from ramjax.evals import mt_bench_pairs
from ramjax.evals.mt_bench_files import PairJudgment, Question

_LETTERS = {
  # What the judge writes in game 1 and in game 2.
  "model_1": ("[[A]]", "[[B]]"),
  "model_2": ("[[B]]", "[[A]]"),
  "tie": ("[[C]]", "[[C]]"),
  "error": ("?", "?"),
}


def _row(g1, g2, *, question_id=1, turn=1, models=("m", "n"), **change):
  given = dict(
    question_id=question_id,
    model_1=models[0],
    model_2=models[1],
    g1_winner=g1,
    g2_winner=g2,
    judge=("j", "pair-v2"),
    g1_user_prompt=None,
    g1_judgment=_LETTERS[g1][0],
    g2_user_prompt=None,
    g2_judgment=_LETTERS[g2][1],
    turn=turn,
    tstamp=None,
    extra={},
    where="j:1",
  )
  return PairJudgment(**{**given, **change})


def _questions(**categories):
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


@pytest.mark.parametrize(
  "g1,g2,first,second",
  [
    ("model_1", "model_1", "win", "loss"),
    ("model_2", "model_2", "loss", "win"),
    ("tie", "tie", "tie", "tie"),
    ("model_1", "model_2", "tie", "tie"),
    ("model_2", "model_1", "tie", "tie"),
    ("model_1", "tie", "tie", "tie"),
    ("tie", "model_2", "tie", "tie"),
    ("error", "model_1", None, None),
    ("tie", "error", None, None),
    ("error", "error", None, None),
  ],
)
def test_a_win_needs_both_orders(g1, g2, first, second):
  row = _row(g1, g2)
  assert mt_bench_pairs.outcome(row, "m") == first
  assert mt_bench_pairs.outcome(row, "n") == second


def test_rates_are_shares_of_the_comparisons_with_verdicts():
  rows = [
    _row("model_1", "model_1"),
    _row("model_2", "model_2", question_id=2),
    _row("model_1", "model_2", question_id=3),
    _row("tie", "tie", question_id=4),
    # The model in the other place.
    _row("model_2", "model_2", question_id=5, models=("n", "m")),
    _row("error", "model_1", question_id=6),
  ]
  found = mt_bench_pairs.evaluate(rows, None, model="m")
  assert found.figures == {
    "win_share_adjusted": 0.6,
    "win_share": 0.4,
    "loss_share": 0.2,
    "tie_share": 0.4,
    "inconsistent_share": 0.2,
    "comparisons": 5,
  }
  assert found.counted == {
    mt_bench_pairs.ERRORS: 1,
    mt_bench_pairs.REPEATED: 0,
    mt_bench_pairs.DIFFERENT: 0,
  }
  assert not found.tables


def test_categories_come_in_the_order_of_the_questions():
  rows = [
    _row("model_1", "model_1", question_id=2),
    _row("tie", "tie", question_id=1, turn=2),
  ]
  questions = _questions(writing=[1], math=[2], stem=[3])
  found = mt_bench_pairs.evaluate(rows, questions, model="n")
  table = found.tables["by category"]
  assert [row["category"] for row in table] == ["writing", "math", "stem"]
  assert [row["win_share_adjusted"] for row in table] == [0.5, 0.0, None]
  assert [row["comparisons"] for row in table] == [1, 1, 0]
  assert found.counted[mt_bench_pairs.MISSING] == 4


def test_missing_and_repeated_ones_are_counted_for_each_opponent():
  rows = [
    _row("tie", "tie"),
    _row("tie", "tie", models=("n", "m")),
    _row("tie", "tie", models=("o", "m")),
    _row("error", "tie", turn=2, models=("o", "m")),
  ]
  found = mt_bench_pairs.evaluate(rows, _questions(stem=[1]), model="m")
  assert found.counted[mt_bench_pairs.REPEATED] == 1
  assert found.counted[mt_bench_pairs.MISSING] == 1
  table = found.tables["by opponent"]
  assert [row["opponent"] for row in table] == ["n", "o"]
  assert [row["comparisons"] for row in table] == [2, 1]


def test_a_winner_that_was_not_mapped_back_is_counted():
  # The letter A of game 2 is model_2.
  rows = [_row("model_1", "model_1", g2_judgment="[[A]]")]
  found = mt_bench_pairs.evaluate(rows, None, model="m")
  assert found.counted[mt_bench_pairs.DIFFERENT] == 1
  # What another prompt asks for is not known.
  rows = [
    _row("model_1", "model_1", g2_judgment="[[A]]", judge=("j", "pair-v1"))
  ]
  found = mt_bench_pairs.evaluate(rows, None, model="m")
  assert found.counted[mt_bench_pairs.DIFFERENT] == 0


def test_a_model_with_errors_alone_has_no_rates():
  found = mt_bench_pairs.evaluate([_row("error", "tie")], None, model="m")
  assert found.figures["win_share"] is None
  assert found.figures["comparisons"] == 0


def test_a_model_that_is_not_there_is_refused():
  with pytest.raises(ValueError, match=r"model='x' .* the models are m, n\."):
    mt_bench_pairs.evaluate([_row("tie", "tie")], None, model="x")


def test_a_plain_loop_finds_the_same_and_swapping_places_changes_nothing():
  draw = random.Random(0)
  winners = ("model_1", "model_2", "tie", "error")
  rows = [
    _row(
      draw.choice(winners),
      draw.choice(winners),
      question_id=draw.randrange(5),
      models=tuple(draw.sample("mnop", 2)),
    )
    for _ in range(400)
  ]
  other = {"model_1": "model_2", "model_2": "model_1"}
  swapped = [
    _row(
      # The second game of the swapped pair is the first of this one.
      other.get(row.g2_winner, row.g2_winner),
      other.get(row.g1_winner, row.g1_winner),
      question_id=row.question_id,
      models=(row.model_2, row.model_1),
    )
    for row in rows
  ]
  total_wins = total_losses = 0
  for model in mt_bench_pairs.models(rows):
    win = loss = tie = torn = 0
    for row in rows:
      names = {"model_1": row.model_1, "model_2": row.model_2}
      games = (row.g1_winner, row.g2_winner)
      if model not in names.values() or "error" in games:
        continue
      torn += games[0] != games[1]
      said = [names.get(game) for game in games]
      if said == [model, model]:
        win += 1
      elif said[0] is not None and said[0] == said[1]:
        loss += 1
      else:
        tie += 1
    found = mt_bench_pairs.evaluate(rows, None, model=model)
    number = win + loss + tie
    assert found.figures["comparisons"] == number
    assert found.figures["win_share"] == pytest.approx(win / number)
    assert found.figures["loss_share"] == pytest.approx(loss / number)
    assert found.figures["tie_share"] == pytest.approx(tie / number)
    adjusted = (win + 0.5 * tie) / number
    assert found.figures["win_share_adjusted"] == pytest.approx(adjusted)
    assert found.figures["inconsistent_share"] == pytest.approx(torn / number)
    total_wins += win
    total_losses += loss
    again = mt_bench_pairs.evaluate(swapped, None, model=model)
    assert again.figures == found.figures
  assert total_wins == total_losses > 0
