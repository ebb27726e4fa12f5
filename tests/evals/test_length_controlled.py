# SPDX-License-Identifier: Apache-2.0
"""The length-controlled win rate: its rules, and the authors' tool's figures."""

import csv
import functools
import gzip
import math
import pathlib

import numpy as np
import pytest

from ramjax.evals import length_constants, length_controlled
from ramjax.evals.length_constants import LengthConstants

_DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"
_ORACLES = ("1.4.2", "1.9.1")
_VARIANTS = (length_controlled.PUBLISHED, length_controlled.MINIMAL)


def _constants(num=40, seed=0):
  rng = np.random.default_rng(seed)
  difficulty = rng.normal(size=num)
  length = np.concatenate([rng.uniform(-1, 0, num), rng.uniform(0, 1, num)])
  hard = np.concatenate([difficulty, difficulty])
  labels = 1 / (1 + np.exp(2 * length - 0.5 * hard))
  return LengthConstants(length, hard, labels, difficulty, 0, False)


def _model(constants, seed=1):
  """Length differences and preferences of a model that writes too much."""
  rng = np.random.default_rng(seed)
  num = len(constants.difficulty)
  differences = rng.integers(-2000, 500, num)
  logits = -2 * np.tanh(differences / differences.std(ddof=1)) - 0.5
  logits += constants.difficulty
  return differences, (1 + 1 / (1 + np.exp(-logits))).tolist()


def test_lengths_are_scaled_and_not_centred():
  # Sample deviation 20 of 10, 30, 50.
  found = length_controlled.length_feature(np.asarray([10, 30, 50]))
  np.testing.assert_allclose(found, np.tanh([0.5, 1.5, 2.5]))


@pytest.mark.parametrize("same", [[3, 3, 3], [0, 0], [5]])
def test_lengths_that_do_not_vary_are_refused(same):
  assert not length_controlled.lengths_vary(np.asarray(same))
  with pytest.raises(ValueError, match="same number of characters"):
    length_controlled.length_feature(np.asarray(same))


def test_a_fit_finds_what_its_rows_were_made_of():
  constants = _constants()
  found = length_controlled.published(
    *_model(constants), constants.difficulty, constants, inverse_strength=1e6
  )
  # Of frozen rows the difficulty counts half: their weight is small.
  assert found.coefficients["tanh_length"] == pytest.approx(-2, abs=0.1)
  assert found.coefficients["difficulty"] == pytest.approx(1, abs=0.1)
  assert found.coefficients["model"] == pytest.approx(-0.5, abs=0.1)
  a, b = found.coefficients["difficulty"], found.coefficients["model"]
  expected = [1 / (1 + math.exp(-(a * d + b))) for d in constants.difficulty]
  assert found.win_rate == pytest.approx(100 * np.mean(expected))
  assert found.standard_error == pytest.approx(
    100 * np.std(expected, ddof=1) / math.sqrt(40)
  )
  np.testing.assert_allclose(found.predictions, expected)


def test_a_row_without_a_verdict_is_predicted_and_not_fitted():
  constants = _constants()
  differences, preferences = _model(constants)
  some = [None if i in (3, 17) else x for i, x in enumerate(preferences)]
  extreme = [2.0 if x is None else x for x in some]
  arguments = (constants.difficulty, constants)
  found = length_controlled.published(
    differences, some, *arguments, inverse_strength=10.0
  )
  other = length_controlled.published(
    differences, extreme, *arguments, inverse_strength=10.0
  )
  assert len(found.predictions) == 40
  assert found.coefficients != other.coefficients
  # Its length still counts in the deviation, as in the authors' tool.
  kept = np.asarray([x is not None for x in some])
  without = length_controlled.published(
    differences[kept],
    [x for x in some if x is not None],
    constants.difficulty[kept],
    constants,
    inverse_strength=10.0,
  )
  assert found.coefficients["tanh_length"] != pytest.approx(
    without.coefficients["tanh_length"], rel=1e-6
  )


def test_old_ties_are_halves():
  constants = _constants()
  differences, preferences = _model(constants)
  arguments = (constants.difficulty, constants)
  found = [
    length_controlled.published(
      differences, [tie, *preferences[1:]], *arguments, inverse_strength=1.0
    ).win_rate
    for tie in (0, 1.5)
  ]
  assert found[0] == found[1]


def test_the_minimal_variant_has_one_prediction_and_its_own_name():
  constants = _constants()
  found = length_controlled.minimal(*_model(constants))
  assert found.variant == "length_controlled_minimal"
  assert set(found.coefficients) == {"tanh_length", "model"}
  assert len(np.unique(found.predictions)) == 1
  assert found.win_rate == pytest.approx(
    100 / (1 + math.exp(-found.coefficients["model"]))
  )
  assert found.standard_error == 0


def test_the_baseline_has_exactly_50():
  found = length_controlled.of_baseline(805)
  assert (found.win_rate, found.standard_error) == (50.0, 0.0)
  assert found.inverse_strength is None
  assert set(found.predictions) == {0.5}


def test_two_models_have_100_together_and_one_has_50_against_itself():
  rng = np.random.default_rng(0)
  difficulty = rng.normal(size=805)
  one, other = (
    {"tanh_length": -1.0, "difficulty": x, "model": y}
    for x, y in ((0.7, -2.0), (1.3, 0.4))
  )
  there = length_controlled.between(one, other, difficulty)
  back = length_controlled.between(other, one, difficulty)
  np.testing.assert_allclose(there + back, 1.0, rtol=1e-15)
  itself = length_controlled.between(one, one, difficulty)
  assert itself.tolist() == [0.5] * 805


def test_difficulties_by_position_are_shifted_behind_a_missing_row():
  order = ["a", "b", "c", "d"]
  table = np.asarray([0.1, 0.2, 0.3, 0.4])
  rows = ["a", "c", "d"]
  by_position = length_controlled.difficulty_by_position(len(rows), table)
  assert by_position.tolist() == [0.1, 0.2, 0.3]
  right = length_controlled.difficulty_by_instruction(rows, order, table)
  assert right.tolist() == [0.1, 0.3, 0.4]


def test_difficulties_of_another_set_are_refused():
  table = np.zeros(2)
  with pytest.raises(ValueError, match=r"3 annotations.* 2 instructions"):
    length_controlled.difficulty_by_position(3, table)
  with pytest.raises(ValueError, match="annotation 2, 'x', is not in"):
    length_controlled.difficulty_by_instruction(["a", "x"], ["a", "b"], table)
  with pytest.raises(ValueError, match=r"3 instructions, and the table .* 2"):
    length_controlled.difficulty_by_instruction(["a"], ["a", "b", "c"], table)


@pytest.mark.parametrize(
  "raw,controlled,expected",
  [
    # At 20: from min(15, 10) = 10 to max(40, 30) = 40.
    (20.0, 10.0, False),
    (20.0, 9.99, True),
    (20.0, 40.0, False),
    (20.0, 40.01, True),
    # At 80: from min(60, 70) = 60 to max(85, 90) = 90.
    (80.0, 59.9, True),
    (80.0, 60.0, False),
    (80.0, 90.1, True),
    (0.0, 25.0, False),
  ],
)
def test_the_warning_is_by_the_authors_bounds(raw, controlled, expected):
  assert length_controlled.is_extreme(raw, controlled) == expected


def test_too_few_verdicts_are_refused():
  with pytest.raises(ValueError, match="cannot be split"):
    length_controlled.minimal(np.asarray([1, 2, 3]), [1.0, 2.0, None])


def _require_data():
  if not (_DATA / "lc_oracle").is_dir():
    pytest.skip("no figures of the authors' tool on this machine")


@functools.cache
def _annotations():
  """Model -> length differences and preferences."""
  path = _DATA / "annotations_compact_dev.csv.gz"
  found = {}
  with gzip.open(path, "rt", newline="") as file:
    for row in csv.DictReader(file):
      difference = int(row["len_1"]) - int(row["len_2"])
      text = row["preference"]
      rows = found.setdefault(row["model"], [])
      rows.append((difference, float(text) if text else None))
  return {
    model: (np.asarray([d for d, _ in rows]), [x for _, x in rows])
    for model, rows in found.items()
  }


@functools.cache
def _reconstructed():
  path = _DATA / "lc_oracle/df_gamed_RECONSTRUCTED.csv.gz"
  return length_constants.read_gamed(path)


def _oracle(version):
  path = _DATA / f"lc_oracle/alpaca_eval-0.6.6_sklearn-{version}.csv"
  with path.open(newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["glm"] in _VARIANTS]
  assert len(rows) == 2 * 13
  return {(row["model"], row["glm"]): row for row in rows}


@functools.cache
def _fitted(model, variant, strength):
  differences, preferences = _annotations()[model]
  if model == "gpt4_1106_preview":
    return length_controlled.of_baseline(len(preferences))
  if variant == length_controlled.MINIMAL:
    return length_controlled.minimal(
      differences, preferences, inverse_strength=strength
    )
  constants = _reconstructed()
  difficulty = length_controlled.difficulty_by_position(
    len(preferences), constants.difficulty
  )
  return length_controlled.published(
    differences, preferences, difficulty, constants, inverse_strength=strength
  )


@pytest.mark.parametrize("version", _ORACLES)
def test_at_the_same_penalty_it_is_what_the_authors_tool_has(version):
  _require_data()
  for (model, variant), row in _oracle(version).items():
    if variant != length_controlled.PUBLISHED:
      continue
    found = _fitted(model, variant, float(row["C"]) if row["C"] else None)
    expected = float(row["length_controlled_winrate"])
    # Their solver stops at a tolerance of 1e-4.
    assert found.win_rate == pytest.approx(expected, abs=0.02), model
    error = float(row["lc_standard_error"])
    assert found.standard_error == pytest.approx(error, abs=0.002), model


@pytest.mark.parametrize("version", _ORACLES)
def test_the_minimal_variant_is_lower_in_the_authors_objective(version):
  _require_data()
  for (model, variant), row in _oracle(version).items():
    if variant != length_controlled.MINIMAL or not row["C"]:
      continue
    strength = float(row["C"])
    found = _fitted(model, variant, strength)
    # Without frozen rows it is flatter, and where their solver stops farther.
    expected = float(row["length_controlled_winrate"])
    assert found.win_rate == pytest.approx(expected, abs=0.1), model
    differences, preferences = _annotations()[model]
    length = length_controlled.length_feature(differences)
    labels = np.asarray(preferences) - 1

    def objective(a, c, length=length, labels=labels, strength=strength):
      z = a * length + c
      loss = np.logaddexp(0, z) - labels * z
      return abs(a) + abs(c) + strength * loss.sum()

    ours = objective(*found.coefficients.values())
    theirs = objective(
      float(row["coef_tanh_len"]), float(row["coef_intercept"])
    )
    assert ours <= theirs * (1 + 1e-12)
    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("version", _ORACLES)
def test_with_its_own_choice_it_is_near_what_the_authors_tool_has(version):
  _require_data()
  for (model, variant), row in _oracle(version).items():
    found = _fitted(model, variant, None)
    expected = float(row["length_controlled_winrate"])
    assert found.win_rate == pytest.approx(expected, abs=0.2), (model, variant)


def _table(name):
  with (_DATA / name).open(newline="") as file:
    return {row.pop(""): row for row in csv.DictReader(file)}


def test_published_coefficients_give_published_win_rates():
  _require_data()
  judge = "weighted_alpaca_eval_gpt4_turbo"
  weights = _table(
    f"metrics/weights/{judge}/length_controlled_v1"
    "/baseline_gpt4_1106_preview.csv"
  )
  board = _table(f"leaderboards/data_AlpacaEval_2/{judge}_leaderboard.csv")
  compared = 0
  for model, row in weights.items():
    want = board.get(model, {})
    # What two rows have is not of their own coefficients; others lack rows.
    if model in ("NullModel", "dbrx-instruct") or want.get("n_total") != "805":
      continue
    found = length_controlled.between(
      {
        "difficulty": float(row["instruction_difficulty"]),
        "model": float(row["not_gamed_baseline.astype(float)"]),
      },
      {},
      _reconstructed().difficulty,
    )
    expected = float(want["length_controlled_winrate"])
    assert 100 * found.mean() == pytest.approx(expected, abs=1e-4), model
    compared += 1
  assert compared > 100
