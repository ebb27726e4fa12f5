# SPDX-License-Identifier: Apache-2.0
"""Which verdicts a length control can be made of; the rest: test_eval_alpaca."""

import numpy as np
import pytest

from ramjax.evals import alpaca_eval, alpaca_inputs
from ramjax.evals.alpaca_annotations import Annotation, Annotations
from ramjax.evals.length_constants import LengthConstants
from ramjax.evals.model_outputs import ModelOutput


def _inputs(preferences, *, model="mine", texts=None, constants=None):
  """Verdicts on outputs that are longer and longer, or on texts that are given."""
  texts = texts or ["y" * (i + 1) for i in range(len(preferences))]
  rows = [
    Annotation(
      instruction=f"Task {i}",
      output_1="x",
      output_2=text,
      generator_1="base",
      generator_2=model,
      preference=preference,
      position=i,
      where=f"annotations.json: row {i + 1}",
      original={},
    )
    for i, (preference, text) in enumerate(zip(preferences, texts, strict=True))
  ]
  return alpaca_inputs.Inputs(
    outputs=[ModelOutput(row.instruction, row.output_2) for row in rows],
    judged=Annotations(
      rows=rows,
      annotator="judge",
      num_zero=0,
      num_null=preferences.count(None),
    ),
    constants=constants,
  )


def _constants():
  difficulty = np.linspace(-1, 1, 8)
  return LengthConstants(
    length=np.tile([0.5, -0.5], 8),
    row_difficulty=np.repeat(difficulty, 2),
    labels=np.tile([0.6, 0.4, 0.7, 0.2], 4),
    difficulty=difficulty,
    num_unlabelled=0,
    is_official=False,
  )


@pytest.mark.parametrize("constants", [None, _constants()])
def test_fewer_verdicts_than_folds_have_the_raw_metrics(constants):
  # A row without a verdict is none.
  few = [1.0, 2.0, None, 1.25, 2.0]
  found = alpaca_eval.evaluate(_inputs(few, constants=constants))
  figures = found.evaluation.figures
  assert (figures["n_total"], figures["win_rate"]) == (4, 56.25)
  assert not any(name.startswith("length_c") for name in figures)
  (note,) = found.evaluation.notes
  assert "needs 5 verdicts" in note and "there are 4" in note
  assert found.controlled is None and not found.is_comparable
  enough = alpaca_eval.evaluate(_inputs([*few, 1.5], constants=constants))
  assert enough.controlled is not None


def test_the_baseline_needs_no_fit_and_no_number_of_verdicts():
  inputs = _inputs([1.5] * 3, model="base", texts=["x"] * 3)
  found = alpaca_eval.evaluate(inputs)
  assert found.evaluation.figures["length_controlled_winrate"] == 50
  # Of another baseline than the leaderboard's, and by another judge.
  assert not found.is_comparable
  assert sum("not comparable" in x for x in found.evaluation.notes) == 2


@pytest.mark.parametrize("num", [3, 8])
def test_two_models_of_one_name_are_not_the_baseline(num):
  texts = ["x"] * (num - 1) + ["x!"]
  with pytest.raises(
    ValueError, match=rf"row {num}: .* 'base', .* two models share a name"
  ):
    alpaca_eval.evaluate(_inputs([1.5] * num, model="base", texts=texts))
