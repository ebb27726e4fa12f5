# SPDX-License-Identifier: Apache-2.0
"""MT-Bench by pairs: how often a model's answers beat those of others.

Each pair of answers is judged twice with places swapped (Zheng et al., arXiv
2306.05685). As in the authors' tool, a model wins where both games say so;
where they disagree, or say that it is a tie, it is one.
"""

import collections
from collections.abc import Callable, Mapping, Sequence

from ramjax.evals import mt_bench_scores, mt_bench_verdicts
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.mt_bench_files import PairJudgment, Question

ERRORS = "comparisons with a game without a verdict: left out"
REPEATED = "comparisons of a pair, question and turn made before: counted again"
MISSING = "questions and turns without any comparison, over the opponents"
DIFFERENT = "comparisons whose winners the judge's words do not give: kept"

# The official prompts, which ask for a letter; of others it is not known.
_ASK_FOR_A_LETTER = frozenset(
  f"{name}{turn}"
  for name in ("pair-v2", "pair-math-v1")
  for turn in ("", "-multi-turn")
)


def outcome(row: PairJudgment, model: str) -> str | None:
  """What a comparison says of one of its two models.

  Args:
    row: Two games.
    model: Its `model_1` or `model_2`.

  Returns:
    "win", "loss" or "tie"; None if a game has no verdict.
  """
  if "error" in (row.g1_winner, row.g2_winner):
    return None
  if row.g1_winner == "tie" or row.g1_winner != row.g2_winner:
    return "tie"
  best = row.model_1 if row.g1_winner == "model_1" else row.model_2
  return "win" if best == model else "loss"


def evaluate(
  judgments: Sequence[PairJudgment],
  questions: Mapping[int, Question] | None,
  *,
  model: str,
) -> Evaluation:
  """One model's share of wins, against whomever it is compared with.

  Args:
    judgments: Of any models, on these questions
      (`mt_bench_files.check_questions`).
    questions: By id, or None: without them there are no categories, and what
      is missing is not known.
    model: Whose comparisons count.

  Returns:
    The figures `win_share_adjusted` (a tie is half a win), `win_share`,
    `loss_share` and `tie_share`, which the authors' tool calls rates, and
    `inconsistent_share`, the comparisons whose two games do not say the same:
    all shares of the `comparisons`, or None where there are none. The same by
    category.

  Raises:
    ValueError: There is no comparison of the model.
  """
  rows = [row for row in judgments if model in (row.model_1, row.model_2)]
  if not rows:
    names = ", ".join(models(judgments))
    raise ValueError(
      f"model={model!r} is in no comparison: the models are {names or 'none'}."
    )
  valid = [row for row in rows if outcome(row, model) is not None]
  keys = collections.Counter(
    (_opponent(row, model), row.question_id, row.turn, row.judge)
    for row in rows
  )
  counted = {
    ERRORS: len(rows) - len(valid),
    REPEATED: sum(number - 1 for number in keys.values()),
    DIFFERENT: sum(map(_differs, rows)),
  }
  tables = {}
  if len({_opponent(row, model) for row in rows}) > 1:
    tables["by opponent"] = _table(
      "opponent", valid, model, lambda row: _opponent(row, model)
    )
  if questions is not None:
    asked = sum(len(question.turns) for question in questions.values())
    opponents = {opponent for opponent, *_ in keys}
    judged = {key[:3] for key in keys}
    counted[MISSING] = asked * len(opponents) - len(judged)
    tables["by category"] = _table(
      "category",
      valid,
      model,
      lambda row: questions[row.question_id].category,
      names=[question.category for question in questions.values()],
    )
  return Evaluation(
    benchmark="mt_bench",
    model=model,
    figures=_figures(valid, model),
    tables=tables,
    counted=counted,
    notes=mt_bench_scores.judge_notes(rows),
  )


def models(judgments: Sequence[PairJudgment]) -> list[str]:
  """The models that are compared, in the order in which they come."""
  return list(
    dict.fromkeys(
      name for row in judgments for name in (row.model_1, row.model_2)
    )
  )


def _differs(row: PairJudgment) -> bool:
  """Whether a game's winner is not what its judgment says, places swapped."""
  if row.judge[1] not in _ASK_FOR_A_LETTER:
    return False
  said = [
    mt_bench_verdicts.winner(mt_bench_verdicts.read_pair(text), swapped=swapped)
    for text, swapped in ((row.g1_judgment, False), (row.g2_judgment, True))
  ]
  return said != [row.g1_winner, row.g2_winner]


def _opponent(row: PairJudgment, model: str) -> str:
  return row.model_2 if row.model_1 == model else row.model_1


def _figures(valid: Sequence[PairJudgment], model: str) -> dict[str, Value]:
  found = collections.Counter(outcome(row, model) for row in valid)
  number = len(valid)
  torn = sum(row.g1_winner != row.g2_winner for row in valid)
  return {
    "win_share_adjusted": _share(found["win"] + found["tie"] / 2, number),
    "win_share": _share(found["win"], number),
    "loss_share": _share(found["loss"], number),
    "tie_share": _share(found["tie"], number),
    "inconsistent_share": _share(torn, number),
    "comparisons": number,
  }


def _share(part: float, number: int) -> float | None:
  return part / number if number else None


def _table(
  heading: str,
  valid: Sequence[PairJudgment],
  model: str,
  name: Callable[[PairJudgment], str],
  *,
  names: Sequence[str] = (),
) -> list[dict[str, Value]]:
  """A row for each name of comparisons: `names` first, then as they come."""
  groups: dict[str, list[PairJudgment]] = {each: [] for each in names}
  for row in valid:
    groups.setdefault(name(row), []).append(row)
  return [
    {heading: each, **_figures(rows, model)} for each, rows in groups.items()
  ]
