# SPDX-License-Identifier: Apache-2.0
"""AlpacaEval of one model: its metrics, and what a reader must know of them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ramjax.evals import (
  l1_logistic,
  length_constants,
  length_controlled,
  win_rate,
)
from ramjax.evals.alpaca_annotations import Annotations
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.length_controlled import LengthControlled
from ramjax.evals.model_outputs import ModelOutput

BENCHMARK = "alpaca_eval"
# What the published length-controlled figures are of; the baseline has two
# names.
_BASELINES = ("gpt4_1106_preview", "gpt4_turbo")
_ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"
_LC, _LC_ERROR = "length_controlled_winrate", "lc_standard_error"
# What a figure is called that was made by another rule.
_BY_INSTRUCTION = "_by_instruction"


@dataclasses.dataclass(frozen=True)
class Inputs:
  """What the files hold.

  Attributes:
    outputs: The model's.
    judged: The verdicts on them.
    reference: The baseline's outputs, in the order that numbers instructions.
    constants: Of the published length control.
    difficulty: The table that goes with them.
    by_instruction: Whether difficulties are looked up by instruction.
  """

  outputs: Sequence[ModelOutput]
  judged: Annotations
  reference: Sequence[ModelOutput] | None = None
  constants: length_constants.LengthConstants | None = None
  difficulty: length_constants.Difficulty | None = None
  by_instruction: bool = False


def require_same_texts(
  judged: Annotations, outputs: Sequence[ModelOutput], *, side: int
) -> None:
  """Refuses verdicts on other texts than those of the outputs.

  Args:
    judged: The verdicts.
    outputs: Of the baseline or the model; more of them may be there.
    side: 1 for the baseline, 2 for the model.

  Raises:
    ValueError: An instruction or a text is not among the outputs.
  """
  whose = {1: "reference", 2: "model"}[side]
  by_instruction = {output.instruction: output for output in outputs}
  for row in judged.rows:
    output = by_instruction.get(row.instruction)
    if output is None:
      raise ValueError(
        f"{row.where} judges the instruction {row.instruction[:60]!a}, which"
        f" the {whose} outputs do not have: the verdicts are on other outputs. Judge"
        " these, or give those that were judged."
      )
    if output.output != (row.output_1 if side == 1 else row.output_2):
      raise ValueError(
        f"{row.where}: output_{side} is not what the {whose} outputs have for"
        f" the instruction {row.instruction[:60]!a}: the verdict is on another"
        " text. Judge these outputs, or give those that were judged."
      )


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
  if inputs.constants is not None and inputs.reference is not None:
    length_controlled.require_whole_order(
      len(inputs.reference), inputs.constants.difficulty
    )
  raw = win_rate.win_rate(judged.preferences)
  controlled = _length_control(inputs)
  texts = [output.output for output in inputs.outputs]
  figures: dict[str, Value] = {
    **dataclasses.asdict(raw),
    "avg_length": win_rate.average_length(texts),
  }
  notes = _name_notes(inputs)
  tables = {}
  if isinstance(controlled, str):
    notes.append(f"There is no length-controlled win rate: {controlled}.")
    controlled = None
  else:
    notes += _control_notes(inputs)
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


def _is_baseline(judged: Annotations) -> bool:
  """Whether the model is the baseline itself, by name and by its outputs."""
  if judged.model != judged.baseline:
    return False
  for row in judged.rows:
    if row.output_1 != row.output_2:
      raise ValueError(
        f"{row.where}: generator_1 and generator_2 are both {judged.model!r},"
        " and output_1 is not output_2: two models share a name. Rename one."
      )
  return True


def _length_control(inputs: Inputs) -> LengthControlled | str:
  """The length control, or why there is none."""
  rows = inputs.judged.rows
  if _is_baseline(inputs.judged):
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
    "constants": "official" if _is_official(inputs) else "not official",
  }


def _is_official(inputs: Inputs) -> bool:
  tables = (inputs.constants, inputs.difficulty)
  return all(table is None or table.is_official for table in tables)


def _is_comparable(inputs: Inputs, controlled: LengthControlled | None) -> bool:
  if controlled is None or controlled.variant != length_controlled.PUBLISHED:
    return False
  if _setting_notes(inputs.judged):
    return False
  if controlled.inverse_strength is None:
    return True
  return _is_official(inputs) and not inputs.by_instruction


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


def _name_notes(inputs: Inputs) -> list[str]:
  model = inputs.judged.model
  names = {output.generator for output in inputs.outputs} - {None}
  if not names - {model}:
    return []
  return [
    f"The outputs are by {names.pop()!r}, as their file has it; the annotations"
    f" call the model {model!r}."
  ]


def _control_notes(inputs: Inputs) -> list[str]:
  """What a reader has to know of where the length control is from."""
  judged = inputs.judged
  if _is_baseline(judged):
    return [
      "The model is the baseline: 50 by construction, not fitted.",
      *_setting_notes(judged),
    ]
  if inputs.constants is None:
    return [
      f"{length_controlled.MINIMAL} controls for length without the authors'"
      " constants. It is no published figure, and no leaderboard's: not"
      " comparable with one. For length_controlled_winrate give"
      " df_gamed.csv and instruction_difficulty.csv of the hub's dataset"
      " tatsu-lab/alpaca_eval."
    ]
  return _constants_notes(inputs, inputs.constants)


def _constants_notes(
  inputs: Inputs, constants: length_constants.LengthConstants
) -> list[str]:
  notes = []
  files = {"df_gamed.csv": constants.is_official}
  if inputs.difficulty is not None:
    files["instruction_difficulty.csv"] = inputs.difficulty.is_official
    notes += _difference_notes(inputs.difficulty.values, constants.difficulty)
  for name, official in files.items():
    if not official:
      notes.append(
        f"{name} is not the published file (its sha256 differs): the"
        " length-controlled figure is not comparable with a leaderboard."
      )
  notes += _setting_notes(inputs.judged)
  return [*notes, *_order_notes(inputs, len(constants.difficulty))]


def _setting_notes(judged: Annotations) -> list[str]:
  """What keeps a length control by any files from the leaderboard."""
  notes = []
  if judged.baseline not in _BASELINES:
    notes.append(
      f"The baseline is {judged.baseline!r}, and the leaderboard's"
      f" {_BASELINES[0]!r}: the length-controlled figure is not comparable."
    )
  if judged.annotator != _ANNOTATOR:
    name = "not named" if judged.annotator is None else f"{judged.annotator!r}"
    notes.append(
      f"The judge is {name}, and the leaderboard's {_ANNOTATOR!r}: the"
      " length-controlled figure is not comparable."
    )
  return notes


def _difference_notes(table: np.ndarray, used: np.ndarray) -> list[str]:
  if len(table) != len(used):
    raise ValueError(
      f"instruction_difficulty.csv has {len(table)} instructions and"
      f" df_gamed.csv {len(used)}: they are not of the same set. Give the files"
      " that were published together."
    )
  gap = np.abs(table - used)
  if gap.max() <= 1e-6:
    return []
  return [
    f"{int((gap > 1e-6).sum())} difficulties of instruction_difficulty.csv are"
    f" not those of df_gamed.csv, by {gap.max():.3g} at most; the latter were"
    " used, as in the authors' tool."
  ]


def _order_notes(inputs: Inputs, num_instructions: int) -> list[str]:
  """Whether a row's position is its instruction's number."""
  if inputs.by_instruction:
    return [
      "Difficulties were looked up by instruction. The published figures have"
      " them by position in the annotations: they are the same only for all"
      " instructions, in order."
    ]
  rows = inputs.judged.rows
  how = (
    "Difficulties are looked up by position in the annotations, as in the"
    " authors' tool"
  )
  remedy = "By instruction they are right; the published figures are not so."
  if inputs.reference is None:
    unchecked = (
      f"{how}. Without --reference, whose order numbers the instructions, that"
      " of the annotations could not be checked."
    )
    if len(rows) == num_instructions:
      return [unchecked]
    return [
      f"{unchecked} {num_instructions - len(rows)} of {num_instructions}"
      f" instructions are missing, and rows behind them are shifted. {remedy}"
    ]
  places = {output.instruction: i for i, output in enumerate(inputs.reference)}
  moved = sum(places[row.instruction] != row.position for row in rows)
  if not moved:
    return []
  return [
    f"{how}: {moved} of {len(rows)} rows are not where their instruction is in"
    f" the reference outputs, so they have another one's difficulty. {remedy}"
  ]
