# SPDX-License-Identifier: Apache-2.0
"""Strengths by hand, against MM in plain loops, and what has none."""

import itertools
import math

import numpy as np
import pytest

from ramjax.evals import bradley_terry
from ramjax.evals.bradley_terry import Verdicts


def _verdicts(rows, weight=None):
  """Verdicts from (first, second, share of the first)."""
  names = sorted({name for row in rows for name in row[:2]})
  table = np.array([[names.index(a), names.index(b), s] for a, b, s in rows])
  return Verdicts(
    models=tuple(names),
    first=table[:, 0].astype(int),
    second=table[:, 1].astype(int),
    share=table[:, 2].astype(float),
    weight=np.ones(len(rows)) if weight is None else np.asarray(weight, float),
  )


def _fit(rows, **options):
  wins = bradley_terry.win_matrix(_verdicts(rows))
  return bradley_terry.fit(wins, **options)


def _random_wins(seed, size=6):
  rng = np.random.default_rng(seed)
  wins = rng.integers(1, 30, (size, size)).astype(float)
  np.fill_diagonal(wins, 0)
  # Some never met.
  wins[0, 2] = wins[2, 0] = wins[1, 4] = wins[4, 1] = 0
  return wins


def _mm(wins, steps=3000):
  """Hunter 2004, eq. 3, in plain loops."""
  size = len(wins)
  worth = [1.0] * size
  for _ in range(steps):
    new = []
    for i in range(size):
      below = sum(
        (wins[i, j] + wins[j, i]) / (worth[i] + worth[j])
        for j in range(size)
        if j != i
      )
      new.append(sum(wins[i]) / below)
    worth = [x / sum(new) for x in new]
  logs = np.log(worth)
  return logs - logs.mean()


def test_two_models_differ_by_the_log_odds():
  strengths = _fit([("a", "b", 1.0)] * 3 + [("a", "b", 0.0)])
  assert strengths[0] - strengths[1] == pytest.approx(math.log(3), abs=1e-9)
  assert strengths.sum() == pytest.approx(0, abs=1e-12)


def test_a_tie_is_half_a_win_for_each():
  tied = _fit([("a", "b", 0.5), ("b", "a", 0.5), ("a", "b", 1.0)])
  split = _fit([("a", "b", 1.0)] * 4 + [("a", "b", 0.0)] * 2)
  np.testing.assert_allclose(tied, split, atol=1e-9)


def test_three_models_whose_odds_multiply():
  # a beats b 2 to 1, b beats c 3 to 1, a beats c 6 to 1: worths 6, 3, 1.
  rows = [("a", "b", 1.0)] * 2 + [("a", "b", 0.0)]
  rows += [("b", "c", 1.0)] * 3 + [("b", "c", 0.0)]
  rows += [("a", "c", 1.0)] * 6 + [("a", "c", 0.0)]
  worth = np.exp(_fit(rows))
  np.testing.assert_allclose(worth / worth[2], [6, 3, 1], rtol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_mm_in_plain_loops(seed):
  wins = _random_wins(seed)
  np.testing.assert_allclose(bradley_terry.fit(wins), _mm(wins), atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_each_model_wins_what_its_strength_predicts(seed):
  wins = _random_wins(seed)
  chances = bradley_terry.win_probabilities(bradley_terry.fit(wins))
  predicted = ((wins + wins.T) * chances).sum(axis=1)
  np.testing.assert_allclose(predicted, wins.sum(axis=1), rtol=1e-9)


def test_order_and_the_scale_of_weights_change_nothing():
  rng = np.random.default_rng(1)
  rows = [
    (*rng.choice(list("abcd"), 2, replace=False), rng.integers(0, 3) / 2)
    for _ in range(80)
  ]
  verdicts = _verdicts(rows)
  whole = bradley_terry.fit(bradley_terry.win_matrix(verdicts))
  order = rng.permutation(80)
  moved = _verdicts([rows[i] for i in order], np.full(80, 1e6))
  np.testing.assert_allclose(
    bradley_terry.fit(bradley_terry.win_matrix(moved)), whole, atol=1e-9
  )
  turned = _verdicts([(b, a, 1 - share) for a, b, share in rows])
  np.testing.assert_allclose(
    bradley_terry.fit(bradley_terry.win_matrix(turned)), whole, atol=1e-9
  )


def test_a_weight_is_so_many_verdicts():
  weighted = _verdicts([("a", "b", 1.0), ("a", "b", 0.0)], [5, 2])
  strengths = bradley_terry.fit(bradley_terry.win_matrix(weighted))
  assert strengths[0] - strengths[1] == pytest.approx(math.log(2.5))


def test_nearly_infinite_strengths_are_found():
  wins = np.array([[0, 1e9, 0], [1, 0, 1e9], [0, 1, 0]])
  strengths = bradley_terry.fit(wins)
  np.testing.assert_allclose(
    np.diff(strengths), [-math.log(1e9)] * 2, rtol=1e-6
  )


def test_ratings_have_their_mean_or_their_anchor_at_1000():
  strengths = np.log([4.0, 2.0, 1.0])
  assert bradley_terry.ratings(strengths).mean() == pytest.approx(1000)
  found = bradley_terry.ratings(strengths, anchor=2)
  assert found[2] == 1000
  assert found[0] == pytest.approx(1000 + 400 * math.log10(4))


def test_models_that_never_met_are_named():
  wins = bradley_terry.win_matrix(
    _verdicts([("a", "b", 0.5), ("c", "d", 0.5), ("b", "e", 0.5)])
  )
  with pytest.raises(ValueError, match=r"2 groups.*: a, b, e; c, d\."):
    bradley_terry.require_comparable(wins, list("abcde"), ridge=1.0)


def test_a_model_that_won_or_lost_everything_is_named():
  rows = [("b", "c", 1.0), ("b", "c", 0.0)]
  rows += [("a", "b", 1.0), ("c", "d", 1.0)]
  wins = bradley_terry.win_matrix(_verdicts(rows))
  assert not bradley_terry.has_maximum(wins)
  with pytest.raises(ValueError) as error:
    bradley_terry.require_comparable(wins, list("abcd"), ridge=0.0)
  assert "a lost nothing to the others" in str(error.value)
  assert "d won nothing against the others" in str(error.value)
  assert "b" not in str(error.value).partition(":")[0]
  with pytest.raises(ValueError, match="No finite strengths"):
    bradley_terry.fit(wins)


def test_a_ridge_gives_them_a_strength():
  wins = np.array([[0.0, 3.0], [0.0, 0.0]])
  bradley_terry.require_comparable(wins, ["a", "b"], ridge=0.5)
  top, bottom = bradley_terry.fit(wins, ridge=0.5)
  assert top == pytest.approx(-bottom)
  # There the slope is zero: 3 (1 - sigmoid(2 x)) = 0.5 x.
  assert 3 / (1 + math.exp(2 * top)) == pytest.approx(0.5 * top)


def test_a_ridge_works_where_weights_differ_a_lot():
  wins = np.array(
    [[0, 0, 1e4, 0], [1e-3, 0, 0, 0], [1e5, 0, 0, 0], [1e7, 1, 0, 0]]
  )
  strengths = bradley_terry.fit(wins, ridge=0.1)
  chances = bradley_terry.win_probabilities(strengths)
  slope = (wins * chances.T - wins.T * chances).sum(axis=1) - 0.1 * strengths
  np.testing.assert_allclose(slope, 0, atol=1e-4)


def test_the_condition_is_that_every_split_has_wins_both_ways():
  rng = np.random.default_rng(0)
  for _ in range(200):
    wins = (rng.random((4, 4)) < 0.35).astype(float)
    np.fill_diagonal(wins, 0)
    every = all(
      wins[np.ix_(part, rest)].any() and wins[np.ix_(rest, part)].any()
      for size in (1, 2)
      for part in itertools.combinations(range(4), size)
      for rest in [[i for i in range(4) if i not in part]]
    )
    assert bradley_terry.has_maximum(wins) == every


def test_bootstrap_is_the_same_for_a_seed():
  rng = np.random.default_rng(2)
  rows = [
    (*rng.choice(list("abc"), 2, replace=False), rng.integers(0, 3) / 2)
    for _ in range(60)
  ]
  verdicts = _verdicts(rows)
  one, same, other = (
    bradley_terry.bootstrap(verdicts, draws=20, seed=seed) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, same)
  assert not np.array_equal(one, other)
  assert one.shape == (20, 3) and np.isfinite(one).all()


def test_bootstrap_spreads_as_the_normal_approximation_says():
  # Variance of a log odds: 1 / wins + 1 / losses.
  rows = [("a", "b", 1.0)] * 300 + [("a", "b", 0.0)] * 200
  samples = bradley_terry.bootstrap(_verdicts(rows), draws=2000, seed=0)
  gaps = samples[:, 0] - samples[:, 1]
  assert gaps.std() == pytest.approx(math.sqrt(1 / 300 + 1 / 200), rel=0.06)
  assert gaps.mean() == pytest.approx(math.log(1.5), abs=0.01)


def test_draws_without_finite_strengths_are_rows_of_nan():
  rows = [("a", "b", 1.0)] * 3 + [("a", "b", 0.0)]
  samples = bradley_terry.bootstrap(_verdicts(rows), draws=300, seed=0)
  lost = np.isnan(samples).all(axis=1)
  # No loss in 4 draws: 0.75^4, and no win: 0.25^4.
  assert lost.mean() == pytest.approx(0.75**4 + 0.25**4, abs=0.09)
  assert np.isfinite(samples[~lost]).all()
  ridged = bradley_terry.bootstrap(_verdicts(rows), draws=50, seed=0, ridge=0.1)
  assert np.isfinite(ridged).all()


def test_intervals_are_percentiles_and_none_where_infinite():
  samples = np.arange(1000.0)[:, None] * [1.0, -1.0]
  lower, upper = bradley_terry.intervals(samples)
  assert lower == [24.0, -975.0] and upper == [975.0, -24.0]
  samples[:10] = np.nan
  lower, upper = bradley_terry.intervals(samples)
  # 10 draws more below all others: the 25th smallest is the 15th that is left.
  assert lower == [24.0, -985.0] and upper == [985.0, -24.0]
  samples[:30] = np.nan
  assert bradley_terry.intervals(samples) == ([None] * 2, [None] * 2)


def test_online_elo_by_hand_depends_on_the_order():
  rows = [("a", "b", 1.0), ("b", "a", 1.0)]
  first = bradley_terry.online_elo(_verdicts(rows), k=32)
  expected = 1 / (1 + 10 ** (32 / 400))
  change = 32 * (1 - expected)
  np.testing.assert_allclose(first, [1016 - change, 984 + change])
  last = bradley_terry.online_elo(_verdicts(rows[::-1]), k=32)
  assert first[0] < 1000 < last[0]
  assert np.isfinite(bradley_terry.online_elo(_verdicts(rows), k=1e9)).all()


@pytest.mark.parametrize(
  "change,message",
  [
    (dict(first=np.array([], int)), "shapes"),
    (dict(second=np.array([2])), "indexes below 2"),
    (dict(second=np.array([0])), "'a' against itself"),
    (dict(share=np.array([0.7])), "share is"),
    (dict(weight=np.array([0.0])), "weight is"),
    (dict(weight=np.array([math.nan])), "weight is"),
  ],
)
def test_what_is_no_verdict_is_refused(change, message):
  fields = dict(
    models=("a", "b"),
    first=np.array([0]),
    second=np.array([1]),
    share=np.array([1.0]),
    weight=np.array([1.0]),
  )
  Verdicts(**fields)
  with pytest.raises(ValueError, match=message):
    Verdicts(**{**fields, **change})
