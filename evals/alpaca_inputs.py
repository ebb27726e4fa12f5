# SPDX-License-Identifier: Apache-2.0
"""What AlpacaEval of one model is made from, and whether it goes together."""

import dataclasses
from collections.abc import Sequence

from ramjax.evals import length_constants, length_controlled
from ramjax.evals.alpaca_annotations import Annotations
from ramjax.evals.model_outputs import ModelOutput


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

  @property
  def has_official_tables(self) -> bool:
    """Whether the tables that are given are the published ones."""
    tables = (self.constants, self.difficulty)
    return all(table is None or table.is_official for table in tables)


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


def require_one_set(
  reference: Sequence[ModelOutput] | None,
  constants: length_constants.LengthConstants | None,
  difficulty: length_constants.Difficulty | None,
) -> None:
  """Refuses tables and a baseline of different sets of instructions.

  Args:
    reference: As in `Inputs`.
    constants: As in `Inputs`.
    difficulty: As in `Inputs`.

  Raises:
    ValueError: They have not the same number of instructions.
  """
  if constants is None:
    return
  used = constants.difficulty
  if reference is not None:
    length_controlled.require_whole_order(len(reference), used)
  if difficulty is not None and len(difficulty.values) != len(used):
    raise ValueError(
      f"instruction_difficulty.csv has {len(difficulty.values)} instructions and"
      f" df_gamed.csv {len(used)}: they are not of the same set. Give the files"
      " that were published together."
    )


def is_baseline(judged: Annotations) -> bool:
  """Whether the model is the baseline itself, by name and by its outputs.

  Raises:
    ValueError: By name alone.
  """
  if judged.model != judged.baseline:
    return False
  for row in judged.rows:
    if row.output_1 != row.output_2:
      raise ValueError(
        f"{row.where}: generator_1 and generator_2 are both {judged.model!r},"
        " and output_1 is not output_2: two models share a name. Rename one."
      )
  return True
