# SPDX-License-Identifier: Apache-2.0
"""Raw win rates: by hand, by a plain loop, and as two leaderboards have them."""

import csv
import dataclasses
import gzip
import math
import pathlib
import statistics

import numpy as np
import pytest

from ramjax.evals import win_rate

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"
_COUNTS = ("n_wins", "n_wins_base", "n_draws", "n_total")
_RATES = ("win_rate", "standard_error", "discrete_win_rate")
# (preferences, leaderboard, models in the first)
_BOARDS = {
  "alpaca_eval_2": (
    "annotations_compact_dev.csv.gz",
    "data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
    13,
  ),
  "alpaca_eval_1": (
    "alpaca_eval_1_annotations_compact.csv.gz",
    "data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv",
    26,
  ),
}


def test_by_hand():
  found = win_rate.win_rate([2.0, 1.0, 1.5, 0, None, 1.75, math.nan])
  # Shares 1, 0, 1/2, 1/2, 3/4: mean 0.55, squared deviations 0.55.
  assert found.win_rate == pytest.approx(55.0)
  assert found.standard_error == pytest.approx(
    100 * math.sqrt(0.55 / 4) / math.sqrt(5)
  )
  assert (found.n_wins, found.n_wins_base, found.n_draws) == (2, 1, 2)
  assert found.n_total == 5
  assert found.discrete_win_rate == pytest.approx(60.0)


def test_only_an_exact_half_is_a_draw():
  nearly = [1.5 + 1e-9, 1.5 - 1e-9, 1.5]
  found = win_rate.win_rate(nearly)
  assert (found.n_wins, found.n_wins_base, found.n_draws) == (1, 1, 1)


def test_of_one_verdict_there_is_no_error():
  assert win_rate.win_rate([2.0, None]).standard_error is None


@pytest.mark.parametrize("preferences", [[], [None, math.nan]])
def test_nothing_to_count_is_refused(preferences):
  with pytest.raises(ValueError, match="none of"):
    win_rate.win_rate(preferences)


@pytest.mark.parametrize("wrong", [0.5, 2.1, -1.0, math.inf])
def test_a_preference_out_of_range_is_refused(wrong):
  with pytest.raises(ValueError, match="preference="):
    win_rate.win_rate([1.0, wrong])


@pytest.mark.parametrize("seed", range(3))
def test_equals_a_plain_loop(seed):
  rng = np.random.default_rng(seed)
  preferences = rng.choice([0, 1, 1.2, 1.5, 1.9, 2], 50).tolist()
  wins = losses = draws = 0
  shares = []
  for preference in preferences:
    share = 0.5 if preference == 0 else preference - 1
    shares.append(share)
    wins, losses = wins + (share > 0.5), losses + (share < 0.5)
    draws += share == 0.5
  found = win_rate.win_rate(preferences)
  assert [getattr(found, name) for name in _COUNTS] == [wins, losses, draws, 50]
  assert found.win_rate == pytest.approx(100 * statistics.fmean(shares))
  assert found.standard_error == pytest.approx(
    100 * statistics.stdev(shares) / math.sqrt(50)
  )


def test_swapping_the_sides_mirrors_the_metrics():
  preferences = np.random.default_rng(0).uniform(1, 2, 40)
  ours, theirs = map(win_rate.win_rate, (preferences, 3 - preferences))
  assert ours.win_rate == pytest.approx(100 - theirs.win_rate)
  assert ours.standard_error == pytest.approx(theirs.standard_error)
  assert ours.n_wins == theirs.n_wins_base


def test_the_average_length_is_of_characters_and_cut():
  # Lengths 1, 1, 3: 5/3.
  assert win_rate.average_length(["é", "\U0001f600", "abc"]) == 1
  assert win_rate.average_length(["", ""]) == 0
  with pytest.raises(ValueError, match="no outputs"):
    win_rate.average_length([])


def _preferences(name):
  """Model -> preferences and lengths of outputs."""
  path = _DATA / name
  if not path.is_file():
    pytest.skip(f"no {path.name} of AlpacaEval on this machine")
  found = {}
  with gzip.open(path, "rt", newline="") as file:
    for row in csv.DictReader(file):
      text = row["preference"]
      preference = float(text) if text else None
      found.setdefault(row["model"], []).append((preference, int(row["len_2"])))
  return found


def _board(name):
  with (_DATA / "leaderboards" / name).open(newline="") as file:
    return {row.pop(""): row for row in csv.DictReader(file)}


@pytest.mark.parametrize("board", _BOARDS)
def test_every_model_is_as_its_leaderboard_has_it(board):
  annotations, csv_name, num_models = _BOARDS[board]
  models, expected = _preferences(annotations), _board(csv_name)
  assert len(models) == num_models
  for model, rows in models.items():
    want = expected[model]
    found = dataclasses.asdict(win_rate.win_rate([x for x, _ in rows]))
    for name in _COUNTS:
      assert found[name] == int(want[name]), (model, name)
    for name in _RATES:
      # Not every row of the older leaderboard has each rate.
      if want[name]:
        assert found[name] == pytest.approx(float(want[name]), abs=1e-6), model
    # Lengths are of judged outputs, and the leaderboard's mean is of all.
    if len(rows) == 805:
      lengths = ["x" * length for _, length in rows]
      assert win_rate.average_length(lengths) == int(want["avg_length"]), model
