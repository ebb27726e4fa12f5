# SPDX-License-Identifier: Apache-2.0
"""MT-Bench's figures of many models as one, and the files under --out."""

import pathlib
import re
from collections.abc import Collection, Sequence

from ramjax.evals import mt_bench_pairs, mt_bench_scores
from ramjax.evals.evaluation import Evaluation, Value

# Under --out; the first two as in the authors' tool.
JUDGMENTS = "model_judgment"
ANSWERS = "model_answer"
CACHE = "cache"
CANARIES = "canaries"
# By mode: the figure that models are ordered by, and that of categories.
MAIN = {"single": "average", "pair": "win_share_adjusted"}
# Rule -> its column in the table of models.
_COUNTS = {
  mt_bench_scores.UNSCORED: "unscored",
  mt_bench_scores.REPEATED: "repeated",
  mt_bench_scores.DIFFERENT: "different",
  mt_bench_scores.MISSING: "missing",
  mt_bench_pairs.ERRORS: "errors",
  mt_bench_pairs.REPEATED: "repeated",
  mt_bench_pairs.DIFFERENT: "different",
  mt_bench_pairs.MISSING: "missing",
}


def best_first(found: Sequence[Evaluation], figure: str) -> list[Evaluation]:
  """By a figure; models without one come last."""

  def key(evaluation: Evaluation) -> float:
    value = evaluation.figures[figure]
    return value if isinstance(value, float) else float("-inf")

  return sorted(found, key=key, reverse=True)


def joint(
  evaluations: Sequence[Evaluation], figure: str, num_judgments: int
) -> Evaluation:
  """Models as rows: of all figures, and of one figure by category.

  Args:
    evaluations: Of one mode, at least one.
    figure: The one that is shown by category.
    num_judgments: On all of them.
  """
  tables = {
    "models": [
      {"model": evaluation.model, **evaluation.figures, **_counts(evaluation)}
      for evaluation in evaluations
    ]
  }
  if all("by category" in evaluation.tables for evaluation in evaluations):
    tables[f"{figure} by category"] = [
      {
        "model": evaluation.model,
        **{
          str(row["category"]): row[figure]
          for row in evaluation.tables["by category"]
        },
      }
      for evaluation in evaluations
    ]
  notes = [
    f"{column}: {rule}"
    for rule, column in _COUNTS.items()
    if rule in evaluations[0].counted
  ]
  return Evaluation(
    benchmark="mt_bench",
    model=f"{len(evaluations)} models",
    figures={"models": len(evaluations), "judgments": num_judgments},
    tables=tables,
    notes=[
      *notes,
      *dict.fromkeys(
        f"{evaluation.model}: {note}"
        for evaluation in evaluations
        for note in evaluation.notes
      ),
    ],
  )


def folders(
  out: pathlib.Path, models: Collection[str]
) -> dict[str, pathlib.Path]:
  """Each model's folder for its evaluation.

  Raises:
    ValueError: Two would share one, or one is the folder of other files.
  """
  found: dict[str, pathlib.Path] = {}
  taken = {
    JUDGMENTS: "the judgments",
    ANSWERS: "the answers",
    CACHE: "what was asked",
  }
  for model in models:
    name = file_name(model)
    if name in taken:
      raise ValueError(
        f"--out: {model!r} and {taken[name]!r} would share the folder"
        f" {out / name}: evaluate them one by one (--model), into two folders."
      )
    taken[name] = model
    found[model] = out / name
  return found


def file_name(model: str) -> str:
  """A model's name as that of a file: a stranger's, which leads nowhere else."""
  return re.sub(r"[^A-Za-z0-9._-]|^\.", "_", model)


def _counts(evaluation: Evaluation) -> dict[str, Value]:
  return {_COUNTS[rule]: n for rule, n in evaluation.counted.items()}
