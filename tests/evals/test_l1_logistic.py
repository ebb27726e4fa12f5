# SPDX-License-Identifier: Apache-2.0
"""The L1-penalised fit: conditions of a minimum, brute force, folds, choice."""

import math

import numpy as np
import pytest

from ramjax.evals import l1_logistic


def _rows(seed, num=60, num_features=3):
  rng = np.random.default_rng(seed)
  features = rng.normal(size=(num, num_features))
  truth = np.linspace(-1.5, 1.0, num_features)
  noise = rng.normal(size=num)
  labels = 1 / (1 + np.exp(-(features @ truth + noise)))
  return features, labels, rng.uniform(0.1, 1.0, num)


def _gradient(features, labels, weights, coefficients):
  """Of the loss, row by row."""
  gradient = [0.0] * features.shape[1]
  for x, y, w in zip(features, labels, weights, strict=True):
    p = 1 / (1 + math.exp(-sum(x * coefficients)))
    for j in range(len(gradient)):
      gradient[j] += w * (p - y) * x[j]
  return gradient


@pytest.mark.parametrize("strength", l1_logistic.INVERSE_STRENGTHS)
@pytest.mark.parametrize("seed", range(3))
def test_a_solution_meets_the_conditions_of_a_minimum(seed, strength):
  features, labels, weights = _rows(seed)
  found = l1_logistic.fit(features, labels, weights, strength)
  slopes = _gradient(features, labels, weights, found)
  for coefficient, slope in zip(found, slopes, strict=True):
    if coefficient == 0:
      assert abs(strength * slope) <= 1 + 1e-9
    else:
      expected = -math.copysign(1, coefficient)
      assert strength * slope == pytest.approx(expected, abs=1e-6)


def test_no_point_nearby_is_lower():
  features, labels, weights = _rows(7)

  def objective(b):
    z = features @ b
    loss = weights @ (np.log1p(np.exp(z)) - labels * z)
    return np.abs(b).sum() + 0.5 * loss

  found = l1_logistic.fit(features, labels, weights, 0.5)
  rng = np.random.default_rng(0)
  for size in (1e-1, 1e-3, 1e-5):
    for _ in range(50):
      moved = found + size * rng.normal(size=3)
      assert objective(moved) >= objective(found)


def _one_feature(x, y, w, strength):
  """The root of the subgradient, which never falls, by halving."""

  def slope(b):
    p = 1 / (1 + np.exp(-x * b))
    return strength * float(w @ (x * (p - y)))

  if abs(slope(0.0)) <= 1:
    return 0.0
  sign = -math.copysign(1, slope(0.0))
  low, high = 0.0, 1.0
  while sign * slope(sign * high) + 1 < 0:
    high *= 2
  for _ in range(200):
    middle = (low + high) / 2
    if sign * slope(sign * middle) + 1 < 0:
      low = middle
    else:
      high = middle
  return sign * low


@pytest.mark.parametrize("strength", [0.01, 0.05, 0.3, 10.0, 1e4])
def test_one_feature_equals_a_bisection(strength):
  features, labels, weights = _rows(1, num_features=1)
  found = l1_logistic.fit(features, labels, weights, strength)
  expected = _one_feature(features[:, 0], labels, weights, strength)
  assert found[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("strength", [0.08, 0.3, 100.0])
def test_two_features_equal_a_grid_that_is_refined(strength):
  features, labels, weights = _rows(2, num=25, num_features=2)
  features[:, 1] += features[:, 0]  # Far from independent.
  center, width = np.zeros(2), 8.0
  while width > 1e-7:
    side = np.linspace(-width, width, 21)
    grid = center[:, None, None] + np.stack(np.meshgrid(side, side))
    z = np.einsum("nj,jab->nab", features, grid)
    loss = np.log1p(np.exp(z)) - labels[:, None, None] * z
    values = np.abs(grid).sum(0) + strength * np.einsum("n,nab", weights, loss)
    best = np.unravel_index(values.argmin(), values.shape)
    center, width = grid[:, best[0], best[1]], width / 3
  found = l1_logistic.fit(features, labels, weights, strength)
  # The minimum is flat: its place is known to the root of a float's precision.
  np.testing.assert_allclose(found, center, atol=2e-6)


def test_a_soft_label_is_two_rows_of_one_class_each():
  features, labels, weights = _rows(3)
  soft = l1_logistic.fit(features, labels, weights, 2.0)
  hard = l1_logistic.fit(
    np.concatenate([features, features]),
    np.repeat([1.0, 0.0], len(labels)),
    np.concatenate([weights * labels, weights * (1 - labels)]),
    2.0,
  )
  np.testing.assert_allclose(soft, hard, rtol=1e-9)


def test_where_it_starts_does_not_matter():
  features, labels, weights = _rows(4)
  cold = l1_logistic.fit(features, labels, weights, 3.0)
  start = np.asarray([2e4, -3e4, 5e3])
  warm = l1_logistic.fit(features, labels, weights, 3.0, start=start)
  np.testing.assert_allclose(cold, warm, atol=1e-9)
  assert start.tolist() == [2e4, -3e4, 5e3]


def test_a_strong_penalty_gives_exact_zeros():
  features, labels, weights = _rows(5)
  assert l1_logistic.fit(features, labels, weights, 1e-4).tolist() == [0, 0, 0]


def test_a_feature_that_says_nothing_gets_nothing():
  features, labels, weights = _rows(6)
  features[:, 1] = 0
  assert l1_logistic.fit(features, labels, weights, 1e4)[1] == 0


@pytest.mark.parametrize("strength", [1.0, 1e4])
def test_rows_that_a_line_divides_have_a_finite_fit(strength):
  # Without a penalty the coefficient would grow without end.
  found = l1_logistic.fit(
    np.ones((805, 1)), np.ones(805), np.ones(805), strength
  )
  # C n (1 - p) = 1.
  p = 1 - 1 / (strength * 805)
  assert found[0] == pytest.approx(math.log(p / (1 - p)), rel=1e-6)


@pytest.mark.parametrize(
  "change,words",
  [
    (dict(labels=np.full(60, 1.1)), "labels must be finite numbers from 0"),
    (dict(weights=np.full(60, -1.0)), "weights must be"),
    (dict(features=np.full((60, 3), np.nan)), "features must be"),
    (dict(labels=np.zeros(59)), r"\[n, p\], \[n\] and \[n\]"),
    (dict(inverse_strength=0.0), "inverse_strength=0.0"),
    (
      dict(features=np.zeros((0, 3)), labels=np.zeros(0), weights=np.zeros(0)),
      "no rows",
    ),
  ],
)
def test_what_is_no_such_problem_is_refused(change, words):
  features, labels, weights = _rows(0)
  given = dict(
    features=features, labels=labels, weights=weights, inverse_strength=1.0
  )
  with pytest.raises(ValueError, match=words):
    l1_logistic.fit(**(given | change))


def test_the_logistic_function_is_exact_where_it_matters():
  assert l1_logistic.probability(np.zeros(1))[0] == 0.5
  z = np.asarray([-1e4, -3.0, 1.0, 1e4])
  p = l1_logistic.probability(z)
  assert p[0] == 0 and p[-1] == 1
  np.testing.assert_allclose(p + l1_logistic.probability(-z), 1, rtol=1e-15)
  assert p[2] == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("num,num_folds", [(5, 5), (23, 5), (2415, 5), (7, 2)])
def test_folds_are_the_greedy_ones_from_the_last_row(num, num_folds):
  loads, expected = [0] * num_folds, [-1] * num
  for row in reversed(range(num)):
    lightest = loads.index(min(loads))
    loads[lightest] += 2
    expected[row] = lightest
  assert l1_logistic.group_folds(num, num_folds).tolist() == expected


@pytest.mark.parametrize("num,num_folds", [(4, 5), (0, 5), (9, 1)])
def test_too_few_rows_for_the_folds_are_refused(num, num_folds):
  with pytest.raises(ValueError, match="cannot be split"):
    l1_logistic.group_folds(num, num_folds)


def test_the_choice_is_by_the_mean_loss_of_held_out_rows():
  features, labels, weights = _rows(8, num=32)
  candidates = (0.01, 0.2, 3.0, 1e3)
  folds = l1_logistic.group_folds(32)
  expected = {}
  for strength in candidates:
    scores = []
    for fold in range(5):
      held = folds == fold
      fitted = l1_logistic.fit(
        features[~held], labels[~held], weights[~held], strength
      )
      total = 0.0
      for i in np.flatnonzero(held):
        p = 1 / (1 + math.exp(-float(features[i] @ fitted)))
        entropy = labels[i] * math.log(p) + (1 - labels[i]) * math.log(1 - p)
        total += weights[i] * entropy
      scores.append(total / held.sum())
    expected[strength] = sum(scores) / 5
  choice = l1_logistic.choose_inverse_strength(
    features, labels, weights, candidates=candidates
  )
  assert choice.scores == pytest.approx(expected, rel=1e-9)
  assert choice.inverse_strength == max(expected, key=expected.__getitem__)


def test_of_equal_scores_the_smallest_strength_is_chosen():
  # Every fit is 0.
  features, labels, weights = np.zeros((10, 2)), np.full(10, 0.3), np.ones(10)
  choice = l1_logistic.choose_inverse_strength(features, labels, weights)
  assert choice.inverse_strength == pytest.approx(1e-4)
  assert len(choice.scores) == 10
  assert max(choice.scores.values()) == min(choice.scores.values())
  assert min(choice.scores.values()) == pytest.approx(-math.log(2))


def test_a_certain_mistake_is_scored_as_one_of_the_least_probability():
  # The rows that are held out last contradict all others, for which the fit is
  # as sure as it can be.
  features = np.full((10, 1), 100.0)
  labels = np.ones(10)
  folds = l1_logistic.group_folds(10)
  labels[folds == 4] = 0.0
  choice = l1_logistic.choose_inverse_strength(
    features, labels, np.ones(10), candidates=(1e12,)
  )
  assert choice.scores[1e12] > math.log(1e-15)
