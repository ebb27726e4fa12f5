# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval mt_bench`: MT-Bench from a judge's recorded judgments."""

import argparse
import pathlib
import re
from collections.abc import Mapping, Sequence

from ramjax.data import read
from ramjax.evals import mt_bench_files, mt_bench_pairs, mt_bench_scores
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.mt_bench_files import Judgment, PairJudgment, Question
from ramjax.tools import eval_result

# Under --out, as in the authors' tool.
_JUDGMENTS = "model_judgment"
# By mode: the figure that models are ordered by, and that of categories.
_MAIN = {"single": "average", "pair": "win_rate_adjusted"}
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

_Judgments = list[Judgment] | list[PairJudgment]


def main(argv: Sequence[str]) -> int:
  """Prints what models came to.

  Args:
    argv: The arguments behind `ramjax eval mt_bench`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option that cannot be used.
    OSError: A file that cannot be read or written.
  """
  args = _parser().parse_args(argv)
  mode = mt_bench_files.mode_of(args.judge)
  if args.mode not in (None, mode):
    raise ValueError(
      f"--mode={args.mode}, and {args.judge} holds judgments of mode {mode}:"
      " leave --mode out, or give the other file."
    )
  questions = (
    None
    if args.questions is None
    else mt_bench_files.read_questions(args.questions)
  )
  judgments, evaluations = _evaluate(args, mode, questions)
  folders = {} if args.out is None else _folders(args.out, evaluations)
  shown = (
    evaluations[0]
    if len(evaluations) == 1
    else _joint(evaluations, _MAIN[mode], len(judgments))
  )
  print("\n".join(eval_result.lines(shown)))
  if questions is None:
    print(
      "\nWithout --questions there are no categories, and what is missing is not"
      " known."
    )
  if args.out is not None:
    _write(args, argv, judgments, evaluations, folders)
  return 0


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax eval mt_bench",
    description=(
      "Print what models came to on MT-Bench, from the judgments of a recorded"
      " judge: grades (means\nby turn and category) or comparisons (shares of"
      " wins, after both orders). The rules are those\nof the benchmark's"
      " authors' tool; what they leave out or count twice is said."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval mt_bench --judge=gpt-4_single.jsonl"
      " --questions=question.jsonl\n"
      "  ramjax eval mt_bench --judge=gpt-4_pair.jsonl"
      " --questions=question.jsonl \\\n    --baseline=gpt-3.5-turbo --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--judge",
    type=pathlib.Path,
    required=True,
    metavar="FILE",
    help="judgments as the authors' tool writes them; may be compressed",
  )
  parser.add_argument(
    "--questions",
    type=pathlib.Path,
    metavar="FILE",
    help="question.jsonl: for categories, and to tell what is missing",
  )
  parser.add_argument(
    "--model", help="this model alone, as the judgments name it; without: all"
  )
  parser.add_argument(
    "--mode",
    choices=tuple(_MAIN),
    help="what the judgments must be; without: whatever they are",
  )
  parser.add_argument(
    "--baseline",
    metavar="MODEL",
    help="of comparisons: those with this model alone, which gets no row",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=(
      f"write MODEL/{eval_result.FILE} there, and the judgments that count to"
      f" {_JUDGMENTS}/"
    ),
  )
  return parser


def _evaluate(
  args: argparse.Namespace,
  mode: mt_bench_files.Mode,
  questions: Mapping[int, Question] | None,
) -> tuple[_Judgments, list[Evaluation]]:
  """The judgments that count, and what each model came to; the best first."""
  if mode == "single":
    if args.baseline is not None:
      raise ValueError(
        f"--baseline={args.baseline} is for comparisons, and {args.judge} holds"
        " grades of single answers: leave it out."
      )
    grades = mt_bench_files.read_judgments(args.judge)
    names = list(dict.fromkeys(row.model for row in grades))
    _require(args.model, names, "--model")
    if args.model is not None:
      grades = [row for row in grades if row.model == args.model]
      names = [args.model]
    if questions is not None:
      mt_bench_files.check_questions(grades, questions)
    found = [
      mt_bench_scores.evaluate(grades, questions, model=name) for name in names
    ]
    return grades, _best_first(found, _MAIN[mode])
  if args.baseline is not None and args.baseline == args.model:
    raise ValueError(
      f"--model and --baseline are both {args.model}: a model is not compared"
      " with itself."
    )
  pairs = mt_bench_files.read_pair_judgments(args.judge)
  for name, option in ((args.model, "--model"), (args.baseline, "--baseline")):
    _require(name, mt_bench_pairs.models(pairs), option)
    if name is not None:
      pairs = [row for row in pairs if name in (row.model_1, row.model_2)]
  if questions is not None:
    mt_bench_files.check_questions(pairs, questions)
  names = [args.model] if args.model else mt_bench_pairs.models(pairs)
  found = [
    mt_bench_pairs.evaluate(pairs, questions, model=name)
    for name in names
    if name != args.baseline
  ]
  return pairs, _best_first(found, _MAIN[mode])


def _require(name: str | None, names: Sequence[str], option: str) -> None:
  if name is not None and name not in names:
    raise ValueError(
      f"{option}={name} is in no judgment that is left: the models are"
      f" {', '.join(names)}."
    )


def _best_first(found: list[Evaluation], figure: str) -> list[Evaluation]:
  """By a figure; models without one come last."""

  def key(evaluation: Evaluation) -> float:
    value = evaluation.figures[figure]
    return value if isinstance(value, float) else float("-inf")

  return sorted(found, key=key, reverse=True)


def _joint(
  evaluations: Sequence[Evaluation], figure: str, num_judgments: int
) -> Evaluation:
  """Models as rows: of all figures, and of one figure by category."""
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


def _counts(evaluation: Evaluation) -> dict[str, Value]:
  return {_COUNTS[rule]: n for rule, n in evaluation.counted.items()}


def _folders(
  out: pathlib.Path, evaluations: Sequence[Evaluation]
) -> dict[str, pathlib.Path]:
  """Each model's folder; a name is a stranger's, and leads nowhere else."""
  found: dict[str, pathlib.Path] = {}
  taken = {_JUDGMENTS: "the judgments"}
  for evaluation in evaluations:
    name = re.sub(r"[^A-Za-z0-9._-]|^\.", "_", evaluation.model)
    if name in taken:
      raise ValueError(
        f"--out: {evaluation.model!r} and {taken[name]!r} would share the folder"
        f" {out / name}: evaluate them one by one (--model), into two folders."
      )
    taken[name] = evaluation.model
    found[evaluation.model] = out / name
  return found


def _write(
  args: argparse.Namespace,
  argv: Sequence[str],
  judgments: _Judgments,
  evaluations: Sequence[Evaluation],
  folders: Mapping[str, pathlib.Path],
) -> None:
  name = args.judge.name
  suffix = next(end for end in read.SUFFIXES if name.endswith(end))
  target = args.out / _JUDGMENTS / f"{name.removesuffix(suffix)}.jsonl"
  if target.exists() and target.samefile(args.judge):
    raise ValueError(
      f"--out={args.out} would overwrite {args.judge}, which is read: name"
      " another folder."
    )
  target.parent.mkdir(parents=True, exist_ok=True)
  mt_bench_files.write_judgments(target, judgments)
  inputs = [args.judge] + ([args.questions] if args.questions else [])
  for evaluation in evaluations:
    eval_result.write(
      evaluation,
      folders[evaluation.model],
      inputs=inputs,
      command=["ramjax", "eval", "mt_bench", *argv],
    )
  print(f"\nwrote {args.out}")
