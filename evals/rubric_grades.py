# SPDX-License-Identifier: Apache-2.0
"""What a judge's grades of single answers come to, and of what canaries are."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ramjax.data.rows import Message
from ramjax.evals import grade_canaries
from ramjax.evals.answers import Answer
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.grade_canaries import Canary
from ramjax.evals.model_outputs import ModelOutput


def to_answers(outputs: Sequence[ModelOutput]) -> list[Answer]:
  """Outputs as answers; what they are to is one turn of the user."""
  return [
    Answer(
      prompt=(Message("user", output.instruction),),
      response=output.output,
      record={},
      finished=True,
      num_tokens=0,
    )
    for output in outputs
  ]


def with_text(answer: Answer, text: str) -> Answer:
  """An answer of other words to the same prompt."""
  return dataclasses.replace(answer, response=text)


def evaluate(
  model: str,
  grades: Sequence[float | None],
  canaries: Sequence[Canary],
  of_canaries: Sequence[float | None],
  *,
  lowest: float | None = None,
) -> Evaluation:
  """Mean grade with a 95 % interval, how often each was given, and canaries.

  Args:
    model: Who answered.
    grades: A judge's, one for each answer; None is no verdict.
    canaries: From `grade_canaries.make`.
    of_canaries: Their grades.
    lowest: The lowest grade there is; see `grade_canaries.rows`.

  Returns:
    The evaluation. The interval is the normal one of the mean, over answers.

  Raises:
    ValueError: There is no verdict at all.
  """
  given = np.array([x for x in grades if x is not None], np.float64)
  if not len(given):
    raise ValueError("the judge gave no verdict: there is nothing to average.")
  mean = float(given.mean())
  figures: dict[str, Value] = {"answers": len(grades), "mean grade": mean}
  if len(given) > 1:
    error = float(given.std(ddof=1)) / math.sqrt(len(given))
    figures |= {
      "standard_error": error,
      "mean grade, 95 % from": mean - 1.96 * error,
      "mean grade, 95 % to": mean + 1.96 * error,
    }
  counts = Counter(given.tolist())
  table = grade_canaries.rows(canaries, grades, of_canaries, lowest=lowest)
  return Evaluation(
    benchmark="rubric",
    model=model,
    figures=figures,
    tables={
      "by grade": [
        {"grade": grade, "answers": counts[grade]} for grade in sorted(counts)
      ],
      "canaries": table,
    },
    counted={"answers have no verdict": len(grades) - len(given)},
    notes=grade_canaries.notes(table),
  )
