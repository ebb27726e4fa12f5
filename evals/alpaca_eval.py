# SPDX-License-Identifier: Apache-2.0
"""AlpacaEval of one model: its metrics, raw and controlled for length."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ramjax.evals import (
  alpaca_inputs,
  alpaca_notes,
  l1_logistic,
  length_controlled,
  win_rate,
)
from ramjax.evals.alpaca_inputs import Inputs
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.length_controlled import LengthControlled

BENCHMARK = "alpaca_eval"
_LC, _LC_ERROR = "length_controlled_winrate", "lc_standard_error"
# What a figure is called that was made by another rule.
_BY_INSTRUCTION = "_by_instruction"


@dataclasses.dataclass(frozen=True)
class Result:
  """What a model came to.

  Attributes:
    evaluation: For a reader.
    controlled: The length control that is in it, if lengths vary and there are
      verdicts enough.
    is_comparable: Whether that one is by the leaderboard's rule, constants,
      baseline and judge.
  """

  evaluation: Evaluation
  controlled: LengthControlled | None
  is_comparable: bool


def evaluate(inputs: Inputs) -> Result:
  """Metrics of a model.

  Args:
    inputs: What the files hold; verdicts and outputs are of the same texts.

  Raises:
    ValueError: There is nothing to take a mean of, the constants are of
      another set of instructions, or two models have one name.
  """
  judged = inputs.judged
  alpaca_inputs.require_one_set(
    inputs.reference, inputs.constants, inputs.difficulty
  )
  raw = win_rate.win_rate(judged.preferences)
  controlled = _length_control(inputs)
  texts = [output.output for output in inputs.outputs]
  figures: dict[str, Value] = {
    **dataclasses.asdict(raw),
    "avg_length": win_rate.average_length(texts),
  }
  notes = alpaca_notes.name_notes(inputs)
  tables = {}
  if isinstance(controlled, str):
    notes.append(f"There is no length-controlled win rate: {controlled}.")
    controlled = None
  else:
    notes += alpaca_notes.control_notes(inputs)
    figures |= _controlled_figures(inputs, controlled)
    if controlled.inverse_strength is not None:
      tables[f"coefficients of {controlled.variant}"] = [
        {"feature": feature, "value": value}
        for feature, value in controlled.coefficients.items()
      ]
    if length_controlled.is_extreme(raw.win_rate, controlled.win_rate):
      notes.append(
        f"WARNING: the length-controlled win rate, {controlled.win_rate:.1f},"
        f" is far from the raw one, {raw.win_rate:.1f}: the fit may have failed."
      )
  evaluation = Evaluation(
    benchmark=BENCHMARK,
    model=judged.model,
    figures=figures,
    tables=tables,
    counted=_counted(inputs),
    notes=notes,
  )
  return Result(evaluation, controlled, _is_comparable(inputs, controlled))


def _length_control(inputs: Inputs) -> LengthControlled | str:
  """The length control, or why there is none."""
  rows = inputs.judged.rows
  if alpaca_inputs.is_baseline(inputs.judged):
    return length_controlled.of_baseline(len(rows))
  preferences = inputs.judged.preferences
  num_known = len(rows) - inputs.judged.num_null
  if num_known < l1_logistic.NUM_FOLDS:
    return (
      f"it needs {l1_logistic.NUM_FOLDS} verdicts, one for each part of its"
      f" cross-validation, and there are {num_known}"
    )
  differences = np.asarray([len(x.output_1) - len(x.output_2) for x in rows])
  if not length_controlled.lengths_vary(differences):
    return (
      "all outputs differ from the baseline's by the same number of characters"
    )
  if inputs.constants is None:
    return length_controlled.minimal(differences, preferences)
  if inputs.by_instruction and inputs.reference is not None:
    difficulty = length_controlled.difficulty_by_instruction(
      [row.instruction for row in rows],
      [output.instruction for output in inputs.reference],
      inputs.constants.difficulty,
    )
  else:
    difficulty = length_controlled.difficulty_by_position(
      len(rows), inputs.constants.difficulty
    )
  return length_controlled.published(
    differences, preferences, difficulty, inputs.constants
  )


def _controlled_figures(
  inputs: Inputs, controlled: LengthControlled
) -> Mapping[str, Value]:
  """A length control's figures, by names that say what they are."""
  error = controlled.standard_error
  strength = controlled.inverse_strength
  if controlled.variant == length_controlled.MINIMAL:
    # All its predictions are equal: their spread says nothing.
    return {
      length_controlled.MINIMAL: controlled.win_rate,
      "inverse_strength": strength,
    }
  if strength is None or inputs.constants is None:
    return {_LC: controlled.win_rate, _LC_ERROR: error}
  end = _BY_INSTRUCTION if inputs.by_instruction else ""
  return {
    f"{_LC}{end}": controlled.win_rate,
    f"{_LC_ERROR}{end}": error,
    "inverse_strength": strength,
    "constants": "official" if inputs.has_official_tables else "not official",
  }


def _is_comparable(inputs: Inputs, controlled: LengthControlled | None) -> bool:
  if controlled is None or controlled.variant != length_controlled.PUBLISHED:
    return False
  if alpaca_notes.setting_notes(inputs.judged):
    return False
  if controlled.inverse_strength is None:
    return True
  return inputs.has_official_tables and not inputs.by_instruction


def _counted(inputs: Inputs) -> dict[str, int]:
  judged = {row.instruction for row in inputs.judged.rows}
  answered = {output.instruction for output in inputs.outputs}
  counted = {
    "outputs were not judged": sum(
      output.instruction not in judged for output in inputs.outputs
    ),
    "instructions of the reference have no output": sum(
      output.instruction not in answered for output in inputs.reference or ()
    ),
    "verdicts are null: no part of the raw metrics": inputs.judged.num_null,
    "verdicts are 0, as old files have it: ties": inputs.judged.num_zero,
  }
  if inputs.constants is not None:
    counted["frozen rows have no preference: no part of the fit"] = (
      inputs.constants.num_unlabelled
    )
  return {rule: number for rule, number in counted.items() if number}
