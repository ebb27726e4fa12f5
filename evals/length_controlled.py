# SPDX-License-Identifier: Apache-2.0
"""AlpacaEval 2's length-controlled win rate: what outputs as long would win.

A logistic regression of a model's preferences on the difference in length, the
instruction's difficulty and the model itself; the win rate is what it predicts
without the first (Dubois et al., "Length-Controlled AlpacaEval", arXiv
2404.04475, section 3). Details are those of the authors' tool.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ramjax.evals import l1_logistic, length_constants, win_rate
from ramjax.evals.length_constants import LengthConstants

# The one on the leaderboard.
PUBLISHED = "length_controlled_v1"
# On no leaderboard: length and model only, without the authors' constants.
MINIMAL = "length_controlled_minimal"
# All the frozen rows of one instruction weigh so much of a row of the model.
_FROZEN_WEIGHT = 0.2

# Coefficients by what they multiply.
LENGTH, DIFFICULTY, MODEL = "tanh_length", "difficulty", "model"


@dataclasses.dataclass(frozen=True)
class LengthControlled:
  """A length-controlled win rate, and where it is from.

  Attributes:
    variant: `PUBLISHED` or `MINIMAL`.
    win_rate: In percent.
    standard_error: In points, and of the spread over instructions only, not of
      the fit; 0 where all predictions are equal, None of one row.
    coefficients: By `LENGTH`, `DIFFICULTY` (not in `MINIMAL`) and `MODEL`.
    inverse_strength: C of the fit; None if there was none.
    predictions: Of each row, also those without a preference, from 0 to 1.
  """

  variant: str
  win_rate: float
  standard_error: float | None
  coefficients: Mapping[str, float]
  inverse_strength: float | None
  predictions: np.ndarray


def length_feature(length_differences: np.ndarray) -> np.ndarray:
  """Returns tanh of differences in length over their standard deviation.

  Args:
    length_differences: Characters of the baseline's output less those of the
      model's, [n].

  Returns:
    [n]; scaled, and not centred.

  Raises:
    ValueError: They do not vary, so that length cannot be controlled for.
  """
  if not lengths_vary(length_differences):
    raise ValueError(
      f"the outputs of all {len(length_differences)} rows differ in length by"
      " the same number of characters: the effect of length cannot be told."
    )
  return np.tanh(length_differences / np.std(length_differences, ddof=1))


def lengths_vary(length_differences: np.ndarray) -> bool:
  """Whether there is a spread to control for."""
  return len(np.unique(length_differences)) > 1


def difficulty_by_position(num_rows: int, difficulty: np.ndarray) -> np.ndarray:
  """Row i of the annotations has the difficulty of instruction i.

  As the authors' tool does: behind a row that is missing, each has that of the
  instruction before it. The leaderboard's figures are so.

  Args:
    num_rows: Rows of the annotations, with those without a preference.
    difficulty: By instruction number, [n].

  Raises:
    ValueError: There are more rows than instructions.
  """
  if num_rows > len(difficulty):
    raise ValueError(
      f"{num_rows} annotations, and the table of difficulties has"
      f" {len(difficulty)} instructions: the annotations are of another set."
    )
  return difficulty[:num_rows]


def require_whole_order(num_instructions: int, difficulty: np.ndarray) -> None:
  """Refuses an order that cannot be the one difficulties are numbered in.

  Args:
    num_instructions: Of the reference outputs.
    difficulty: By instruction number, [n].

  Raises:
    ValueError: There are more or fewer of them than difficulties.
  """
  if num_instructions != len(difficulty):
    raise ValueError(
      f"the reference outputs have {num_instructions} instructions, and the"
      f" table of difficulties {len(difficulty)}: they must be of the same set."
      " Give the whole set's reference outputs."
    )


def difficulty_by_instruction(
  instructions: Sequence[str], order: Sequence[str], difficulty: np.ndarray
) -> np.ndarray:
  """Each row has the difficulty of its own instruction.

  Not what the leaderboard has where rows are missing or in another order.

  Args:
    instructions: Of the annotations.
    order: All instructions, as they are numbered: those of the reference
      outputs.
    difficulty: By instruction number, [n].

  Raises:
    ValueError: The order is of another set of instructions.
  """
  require_whole_order(len(order), difficulty)
  number = {instruction: i for i, instruction in enumerate(order)}
  unknown = [i for i, text in enumerate(instructions) if text not in number]
  if unknown:
    raise ValueError(
      f"the instruction of annotation {unknown[0] + 1},"
      f" {instructions[unknown[0]][:60]!a}, is not in the reference outputs, so"
      " its difficulty is unknown. Give the reference outputs that were judged."
    )
  return difficulty[[number[text] for text in instructions]]


def published(
  length_differences: np.ndarray,
  preferences: Sequence[float | None],
  difficulty: np.ndarray,
  constants: LengthConstants,
  *,
  inverse_strength: float | None = None,
) -> LengthControlled:
  """The leaderboard's length-controlled win rate, "length_controlled_v1".

  logit P(model preferred) = a tanh_length + b difficulty + c [is the model's],
  fitted to the model's rows and the frozen ones, which keep the effect of
  length near what it is at equal quality.

  Args:
    length_differences: As in `length_feature`, [n].
    preferences: From 1 to 2, of the same rows; None is left out of the fit and
      predicted all the same.
    difficulty: Of each row, [n].
    constants: The frozen rows.
    inverse_strength: C, if it is not to be chosen by cross-validation.

  Raises:
    ValueError: There are too few rows, or they are no such numbers.
  """
  ours = np.stack(
    [
      length_feature(length_differences),
      difficulty,
      np.ones(len(difficulty)),
    ],
    axis=1,
  )
  frozen = np.stack(
    [
      constants.length,
      constants.row_difficulty,
      np.zeros(len(constants.labels)),
    ],
    axis=1,
  )
  known, labels = _labels(preferences)
  # The frozen rows come first, which decides how rows fall into folds.
  coefficients, strength = _fit(
    np.concatenate([frozen, ours[known]]),
    np.concatenate([constants.labels, labels]),
    np.concatenate(
      [
        np.full(len(frozen), _FROZEN_WEIGHT / length_constants.NUM_GAMED),
        np.ones(len(labels)),
      ]
    ),
    inverse_strength,
  )
  named: dict[str, float] = dict(
    zip((LENGTH, DIFFICULTY, MODEL), coefficients, strict=True)
  )
  return _result(PUBLISHED, named, difficulty, strength)


def minimal(
  length_differences: np.ndarray,
  preferences: Sequence[float | None],
  *,
  inverse_strength: float | None = None,
) -> LengthControlled:
  """A length-controlled win rate that needs no constants: no published figure.

  logit P(model preferred) = a tanh_length + c, fitted to the model's rows
  alone: the authors' tool has it as an ablation. It is not comparable with a
  leaderboard, and of one-sided verdicts it is far off.

  Args:
    length_differences: As in `length_feature`, [n].
    preferences: From 1 to 2, of the same rows; None is left out of the fit.
    inverse_strength: C, if it is not to be chosen by cross-validation.

  Raises:
    ValueError: There are too few rows, or they are no such numbers.
  """
  length = length_feature(length_differences)
  known, labels = _labels(preferences)
  coefficients, strength = _fit(
    np.stack([length, np.ones(len(length))], axis=1)[known],
    labels,
    np.ones(len(labels)),
    inverse_strength,
  )
  named: dict[str, float] = dict(
    zip((LENGTH, MODEL), coefficients, strict=True)
  )
  return _result(MINIMAL, named, np.zeros(len(length)), strength)


def of_baseline(num_rows: int) -> LengthControlled:
  """The baseline against itself: 50, by construction."""
  named = {LENGTH: 0.0, DIFFICULTY: 0.0, MODEL: 0.0}
  return _result(PUBLISHED, named, np.zeros(num_rows), None)


def between(
  coefficients: Mapping[str, float],
  other: Mapping[str, float],
  difficulty: np.ndarray,
) -> np.ndarray:
  """P(a model is preferred to another) at equal lengths, by instruction.

  Args:
    coefficients: Of the model; one that is missing is 0.
    other: Of what it is compared with. The baseline's are all 0.
    difficulty: Of the instructions, [n].

  Returns:
    [n], from 0 to 1. Of the models swapped, it is 1 less this.
  """
  slope, offset = (
    coefficients.get(name, 0.0) - other.get(name, 0.0)
    for name in (DIFFICULTY, MODEL)
  )
  return l1_logistic.probability(slope * difficulty + offset)


def is_extreme(raw: float, controlled: float) -> bool:
  """Whether a length-controlled win rate is suspiciously far from the raw one.

  By the rule of the authors' tool, which warns that the fit may have failed.

  Args:
    raw: Win rate, in percent.
    controlled: Length-controlled, in percent.
  """
  least = min(raw - raw / 4, raw - 10)
  most = max(raw + (100 - raw) / 4, raw + 10)
  return not least <= controlled <= most


def _labels(
  preferences: Sequence[float | None],
) -> tuple[np.ndarray, np.ndarray]:
  """Which rows have a preference, [n] bool, and theirs from 0 to 1."""
  values = [win_rate.normalised(x) for x in preferences]
  known = np.asarray([x is not None for x in values], bool)
  labels = np.asarray([x - 1.0 for x in values if x is not None])
  return known, labels


def _fit(
  features: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray,
  inverse_strength: float | None,
) -> tuple[list[float], float]:
  if inverse_strength is None:
    choice = l1_logistic.choose_inverse_strength(features, labels, weights)
    inverse_strength = choice.inverse_strength
  fitted = l1_logistic.fit(features, labels, weights, inverse_strength)
  return fitted.tolist(), inverse_strength


def _result(
  variant: str,
  coefficients: Mapping[str, float],
  difficulty: np.ndarray,
  inverse_strength: float | None,
) -> LengthControlled:
  predictions = between(coefficients, {}, difficulty)
  # An array of equal numbers may have a deviation of rounding errors.
  equal = len(np.unique(predictions)) == 1
  return LengthControlled(
    variant=variant,
    win_rate=100.0 * float(predictions[0] if equal else predictions.mean()),
    standard_error=(0.0 if equal else win_rate.percent_error(predictions)),
    coefficients=coefficients,
    inverse_strength=inverse_strength,
    predictions=predictions,
  )
