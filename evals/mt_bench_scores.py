# SPDX-License-Identifier: Apache-2.0
"""MT-Bench by grades: a model's means, by turn and by category.

The rules are those of the authors' tool (Zheng et al., arXiv 2306.05685):
judgments without a grade are left out, repeated ones all count, and the
average is the mean over all judgments. Where some are missing or repeated, it
is not the mean of the two turns' means.
"""

import collections
import math
from collections.abc import Mapping, Sequence

from ramjax.evals import mt_bench_verdicts
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.mt_bench_files import Judgment, PairJudgment, Question

UNSCORED = "judgments without a score (-1): left out"
REPEATED = "judgments of a question and turn judged before: counted again"
MISSING = "questions and turns without any judgment"
DIFFERENT = "recorded scores that the judge's words do not give: kept"

_NO_SCORE = -1


def evaluate(
  judgments: Sequence[Judgment],
  questions: Mapping[int, Question] | None,
  *,
  model: str,
) -> Evaluation:
  """One model's scores.

  Args:
    judgments: Of any models, on these questions
      (`mt_bench_files.check_questions`).
    questions: By id, or None: without them there are no categories, and what
      is missing is not known.
    model: Whose judgments count.

  Returns:
    The figures `average`, `turn_1` and `turn_2` (None where nothing is graded)
    and the number of `judgments` that they rest on, and the same by category.

  Raises:
    ValueError: There is no judgment of the model.
  """
  rows = [row for row in judgments if row.model == model]
  if not rows:
    names = ", ".join(dict.fromkeys(row.model for row in judgments))
    raise ValueError(
      f"model={model!r} is in no judgment: the models are {names or 'none'}."
    )
  scored = [row for row in rows if row.score != _NO_SCORE]
  seen = collections.Counter(
    (row.question_id, row.turn, row.judge) for row in rows
  )
  counted = {
    UNSCORED: len(rows) - len(scored),
    REPEATED: sum(number - 1 for number in seen.values()),
    DIFFERENT: sum(
      mt_bench_verdicts.read_score(row.judgment) != row.score for row in rows
    ),
  }
  tables = {}
  if questions is not None:
    asked = sum(len(question.turns) for question in questions.values())
    judged = {(row.question_id, row.turn) for row in rows}
    counted[MISSING] = asked - len(judged)
    tables["by category"] = _by_category(scored, questions)
  return Evaluation(
    benchmark="mt_bench",
    model=model,
    figures=_figures(scored),
    tables=tables,
    counted=counted,
    notes=judge_notes(rows),
  )


def judge_notes(
  rows: Sequence[Judgment] | Sequence[PairJudgment],
) -> tuple[str, ...]:
  """A warning where more than one model judged.

  Args:
    rows: Judgments, at least one.

  Returns:
    No sentence, or one.
  """
  judges = collections.Counter(row.judge[0] for row in rows)
  if len(judges) == 1:
    return ()
  shares = ", ".join(f"{name} {number:,}" for name, number in judges.items())
  return (
    f"{len(judges)} judges are counted as if they were one ({shares}"
    " judgments): figures of different judges are not comparable.",
  )


def _figures(scored: Sequence[Judgment]) -> dict[str, Value]:
  return {
    "average": _mean([row.score for row in scored]),
    "turn_1": _mean([row.score for row in scored if row.turn == 1]),
    "turn_2": _mean([row.score for row in scored if row.turn == 2]),
    "judgments": len(scored),
  }


def _mean(scores: Sequence[float]) -> float | None:
  return math.fsum(scores) / len(scores) if scores else None


def _by_category(
  scored: Sequence[Judgment], questions: Mapping[int, Question]
) -> list[dict[str, Value]]:
  """A row a category, in the order of the questions."""
  rows: dict[str, list[Judgment]] = {
    question.category: [] for question in questions.values()
  }
  for row in scored:
    rows[questions[row.question_id].category].append(row)
  return [
    {"category": category, **_figures(of_category)}
    for category, of_category in rows.items()
  ]
