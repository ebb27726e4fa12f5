# SPDX-License-Identifier: Apache-2.0
"""What a judge took and left out, by hand."""

import pytest

from ramjax.evals import judge_account, judge_canaries
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.judge_account import Judging
from ramjax.evals.judged_pairs import JudgedPairs
from ramjax.evals.pairwise_judge import Look, Pair, PairVerdict


def _asked(preference, **more):
  looks = (Look(False, preference, []), Look(True, preference, []))
  return PairVerdict(
    preference,
    looks=looks,
    num_requests=2,
    num_prompt_tokens=100,
    num_tokens=4,
    **more,
  )


def _judging(canary_preference):
  pairs = [
    Pair("i", "a", "b"),
    Pair("j", "same", "same"),
    Pair("k", "a", "b", "<|eot_id|> in a reference"),
    Pair("l", "a", "b"),
  ]
  judged = [_asked(2.0), PairVerdict(1.5), _asked(None, problem="?")]
  judged.append(PairVerdict(None, "status 500", failed=True))
  canaries = [c for c in judge_canaries.make(pairs, num=1, seed=0)][:1]
  assert canaries[0].kind == "null"
  return Judging(
    pairs, JudgedPairs(judged, 1, 1), canaries, [_asked(canary_preference)]
  )


def test_all_that_was_asked_is_counted_and_priced():
  account = judge_account.account(_judging(1.0), (2.0, 50.0))
  assert account.figures == {
    "invalid_share": 0.5,
    "orders_agree_share": 1.0,
    # Two pairs and the canary.
    "judge_requests": 6,
    "judge_prompt_tokens": 300,
    "judge_tokens": 12,
    "judge_cost": pytest.approx((300 * 2 + 12 * 50) / 1e6),
  }
  assert account.counted == {
    "pairs of equal texts, a tie without asking": 1,
    "pairs that the judge gave no answer about": 1,
    "pairs whose verdict could not be read, or that are too long": 1,
    "pairs with a text that looks like a chat template's token": 1,
    "verdicts that an earlier run of this command had": 1,
  }
  assert account.notes == []
  assert "judge_cost" not in judge_account.account(_judging(1.0)).figures


def test_an_answer_that_says_nothing_and_wins_is_noted():
  (note,) = judge_account.account(_judging(2.0)).notes
  assert note.startswith("Of the null answers 100% did not lose")


def test_it_stands_behind_what_an_evaluation_has():
  before = Evaluation(
    benchmark="b",
    model="m",
    figures={"win_rate": 1.0},
    counted={"first": 3},
    notes=["first"],
  )
  got = judge_account.account(_judging(2.0)).added_to(before)
  assert (
    next(iter(got.figures)) == "win_rate" and "invalid_share" in got.figures
  )
  assert next(iter(got.counted)) == "first" and len(got.counted) == 6
  assert got.notes[0] == "first" and len(got.notes) == 2
  assert list(got.tables) == ["canaries"]
  assert before.notes == ["first"]
