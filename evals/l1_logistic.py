# SPDX-License-Identifier: Apache-2.0
"""Logistic regression with an L1 penalty, to high accuracy.

For a handful of features, with soft labels, weights and no intercept. The
objective is liblinear's (Fan et al., JMLR 9, 2008, section 2),

    |b|_1 + C sum_i w_i [log(1 + e^{z_i}) - y_i z_i],    z = X b,

and C is its inverse strength. Proximal Newton: each step minimises the
penalty plus the second-order model of the loss, exactly, by coordinates
(Friedman et al., JSS 33, 2010; Lee et al., SIAM J. Optim. 24, 2014).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# Those that scikit-learn's LogisticRegressionCV tries.
INVERSE_STRENGTHS = tuple(float(c) for c in np.logspace(-4, 4, 10))
NUM_FOLDS = 5
# Of the optimality conditions, relative to the largest possible gradients.
_TOLERANCE = 1e-12
_MOST_STEPS = 200
_MOST_SWEEPS = 200
_MOST_HALVINGS = 60
# Held-out probabilities nearer to 0 are scored as this near: the rule of the
# length-controlled win rate.
_LEAST_PROBABILITY = 1e-15


@dataclasses.dataclass(frozen=True)
class Choice:
  """An inverse strength, chosen on rows that were held out.

  Attributes:
    inverse_strength: With the best mean score; the smallest of equals.
    scores: Of each inverse strength that was tried: minus the loss of held-out
      rows, the mean over the folds.
  """

  inverse_strength: float
  scores: dict[float, float]


def probability(logits: np.ndarray) -> np.ndarray:
  """The logistic function: exactly a half at 0, and without overflow."""
  return 0.5 + 0.5 * np.tanh(0.5 * logits)


def fit(
  features: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray,
  inverse_strength: float,
  *,
  start: np.ndarray | None = None,
) -> np.ndarray:
  """Minimises the objective above.

  Args:
    features: X, [n, p].
    labels: y, [n], from 0 to 1.
    weights: w, [n], none negative.
    inverse_strength: C, above 0.
    start: Coefficients to start from, [p]: a near solution saves steps.

  Returns:
    The coefficients b, [p]; one that the penalty holds at zero is exactly 0.

  Raises:
    ValueError: The arguments are no such arrays, or no minimum was found.
  """
  _check(features, labels, weights, inverse_strength)
  # The objective is divided by C, so that the loss keeps its scale.
  penalty = 1.0 / inverse_strength
  tolerances = _TOLERANCE * (weights @ np.abs(features))
  coefficients = np.zeros(features.shape[1])
  value, probabilities = _loss(features, labels, weights, coefficients)
  if start is not None:
    there = _loss(features, labels, weights, start)
    # Where all is certain the loss is flat, and Newton's steps lead nowhere.
    if there[0] + penalty * float(np.abs(start).sum()) < value:
      coefficients, (value, probabilities) = start, there
  for _ in range(_MOST_STEPS):
    gradient = features.T @ (weights * (probabilities - labels))
    if (violations(coefficients, gradient, penalty) <= tolerances).all():
      return coefficients
    curvature = weights * probabilities * (1.0 - probabilities)
    hessian = features.T @ (features * curvature[:, None])
    step = _newton_step(coefficients, gradient, hessian, penalty)
    # What the objective would fall by if it were its model's linear part.
    decrease = float(gradient @ step) + penalty * (
      float(np.abs(coefficients + step).sum() - np.abs(coefficients).sum())
    )
    before = value + penalty * float(np.abs(coefficients).sum())
    size = 1.0
    for _ in range(_MOST_HALVINGS):
      moved = coefficients + size * step
      value, probabilities = _loss(features, labels, weights, moved)
      after = value + penalty * float(np.abs(moved).sum())
      # At the minimum, differences are of the size of rounding.
      if after <= before + 0.1 * size * decrease + 1e-14 * abs(before):
        break
      size /= 2
    coefficients = moved
  raise ValueError(
    f"the logistic fit at inverse strength {inverse_strength:g} found no"
    f" minimum in {_MOST_STEPS} steps: its features, of {len(labels)} rows, cannot"
    " be told apart. Check the rows."
  )


def _check(
  features: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray,
  inverse_strength: float,
) -> None:
  num = len(labels)
  if features.ndim != 2 or features.shape[0] != num or weights.shape != (num,):
    raise ValueError(
      f"features {features.shape}, labels {labels.shape} and weights"
      f" {weights.shape} must be [n, p], [n] and [n] of the same rows."
    )
  if not num:
    raise ValueError("no rows: a fit needs some.")
  for name, array, most in (
    ("features", features, np.inf),
    ("labels", labels, 1.0),
    ("weights", weights, np.inf),
  ):
    least = -np.inf if name == "features" else 0.0
    if not (np.isfinite(array) & (array >= least) & (array <= most)).all():
      raise ValueError(
        f"{name} must be finite numbers from {least:g} to {most:g}."
      )
  if not 0 < inverse_strength < np.inf:
    raise ValueError(f"inverse_strength={inverse_strength!r} must be above 0.")


def _loss(
  features: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray,
  coefficients: np.ndarray,
) -> tuple[float, np.ndarray]:
  """The weighted loss, and each row's probability [n]."""
  logits = features @ coefficients
  size = np.exp(-np.abs(logits))
  # log(1 + e^z) - y z, without the difference of two large numbers.
  losses = np.log1p(size) + np.where(
    logits > 0, (1.0 - labels) * logits, -labels * logits
  )
  probabilities = np.where(logits > 0, 1.0, size) / (1.0 + size)
  return float(weights @ losses), probabilities


def violations(
  coefficients: np.ndarray, gradient: np.ndarray, penalty: float
) -> np.ndarray:
  """How far coefficients are from a minimum of loss + penalty |b|_1.

  Args:
    coefficients: [p].
    gradient: Of the loss there, [p].
    penalty: Of the absolute values.

  Returns:
    Sizes of the components of the subgradient nearest to zero, [p]: 0 at a
    minimum.
  """
  at_zero = np.maximum(np.abs(gradient) - penalty, 0.0)
  elsewhere = np.abs(gradient + penalty * np.sign(coefficients))
  return np.where(coefficients == 0, at_zero, elsewhere)


def _newton_step(
  coefficients: np.ndarray,
  gradient: np.ndarray,
  hessian: np.ndarray,
  penalty: float,
) -> np.ndarray:
  """Minimises g d + d H d / 2 + penalty |b + d|_1 over d [p], by coordinates.

  On Python's floats: arrays of three are slower.
  """
  num = len(coefficients)
  # Where the loss is flat a step would have no end.
  ridge = 1e-12 * np.diag(hessian) + 1e-30
  h = (hessian + np.diag(ridge)).tolist()
  b, g = coefficients.tolist(), gradient.tolist()
  new = list(b)
  for _ in range(_MOST_SWEEPS):
    largest = 0.0
    for j in range(num):
      slope = g[j] + sum(h[j][k] * (new[k] - b[k]) for k in range(num))
      center = h[j][j] * new[j] - slope
      shrunk = max(abs(center) - penalty, 0.0) / h[j][j]
      moved = shrunk if center > 0 else -shrunk
      largest = max(largest, abs(moved - new[j]) / max(1.0, abs(moved)))
      new[j] = moved
    if largest < 1e-14:
      break
  return np.asarray(new) - coefficients


def group_folds(num_rows: int, num_folds: int = NUM_FOLDS) -> np.ndarray:
  """The fold of each row, by the rule of scikit-learn's GroupKFold.

  There a row is two, one of each class, and the two are a group. Groups go,
  largest first, to the fold with the fewest rows. All are of one size here,
  which leaves open which goes first: GroupKFold leaves it to a sort that is
  not stable, so that it depends on NumPy's version and the processor. Here it
  is the last row, as if the sort were stable and then reversed.

  Args:
    num_rows: At least one for each fold.
    num_folds: At least 2.

  Returns:
    [num_rows], from 0 to num_folds - 1.

  Raises:
    ValueError: There are too few rows.
  """
  if not 2 <= num_folds <= num_rows:
    raise ValueError(
      f"{num_rows} rows cannot be split into {num_folds} folds: it takes a row"
      " for each, and at least 2 folds."
    )
  return (num_rows - 1 - np.arange(num_rows)) % num_folds


def choose_inverse_strength(
  features: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray,
  *,
  candidates: Sequence[float] = INVERSE_STRENGTHS,
  num_folds: int = NUM_FOLDS,
) -> Choice:
  """Chooses C by cross-validation.

  A candidate's score on a fold is minus the mean over its rows of w times the
  cross-entropy with the soft label (not divided by the sum of w).

  Args:
    features: [n, p].
    labels: [n], from 0 to 1.
    weights: [n].
    candidates: Inverse strengths, ascending.
    num_folds: How often the rows are split in two.

  Raises:
    ValueError: There are fewer rows than folds, or a fit failed.
  """
  folds = group_folds(len(labels), num_folds)
  scores = np.zeros((num_folds, len(candidates)))
  for fold in range(num_folds):
    held = folds == fold
    trained = (features[~held], labels[~held], weights[~held])
    start = None
    for column, candidate in enumerate(candidates):
      start = fit(*trained, candidate, start=start)
      scores[fold, column] = -_held_out_loss(
        features[held] @ start, labels[held], weights[held]
      )
  means = scores.mean(axis=0)
  return Choice(
    inverse_strength=float(candidates[int(means.argmax())]),
    scores={float(c): float(s) for c, s in zip(candidates, means, strict=True)},
  )


def _held_out_loss(
  logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> float:
  least = np.log(_LEAST_PROBABILITY)
  log_yes = np.maximum(-np.logaddexp(0.0, -logits), least)
  log_no = np.maximum(-np.logaddexp(0.0, logits), least)
  scores = weights * (labels * log_yes + (1.0 - labels) * log_no)
  return -float(scores.mean())
