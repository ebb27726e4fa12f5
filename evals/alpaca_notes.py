# SPDX-License-Identifier: Apache-2.0
"""What a reader of AlpacaEval's figures must know of where they are from."""

import numpy as np

from ramjax.evals import alpaca_inputs, length_constants, length_controlled
from ramjax.evals.alpaca_annotations import Annotations
from ramjax.evals.alpaca_inputs import Inputs

# What the published length-controlled figures are of; the baseline has two
# names.
_BASELINES = ("gpt4_1106_preview", "gpt4_turbo")
_ANNOTATOR = "weighted_alpaca_eval_gpt4_turbo"


def name_notes(inputs: Inputs) -> list[str]:
  """That outputs and annotations have two names for the model, if so."""
  model = inputs.judged.model
  names = {output.generator for output in inputs.outputs} - {None}
  if not names - {model}:
    return []
  return [
    f"The outputs are by {names.pop()!r}, as their file has it; the annotations"
    f" call the model {model!r}."
  ]


def control_notes(inputs: Inputs) -> list[str]:
  """What a reader has to know of where the length control is from."""
  judged = inputs.judged
  if alpaca_inputs.is_baseline(judged):
    return [
      "The model is the baseline: 50 by construction, not fitted.",
      *setting_notes(judged),
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
  notes += setting_notes(inputs.judged)
  return [*notes, *_order_notes(inputs, len(constants.difficulty))]


def setting_notes(judged: Annotations) -> list[str]:
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
