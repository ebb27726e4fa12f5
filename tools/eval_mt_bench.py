# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval mt_bench`: MT-Bench, judged now or by a recorded judge."""

import argparse
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from ramjax.data import read
from ramjax.evals import (
  grade_canaries,
  mt_bench_files,
  mt_bench_pairs,
  mt_bench_scores,
)
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.mt_bench_files import Judgment, PairJudgment, Question
from ramjax.tools import (
  eval_mt_bench_inputs,
  eval_mt_bench_options,
  eval_mt_bench_run,
  eval_mt_bench_shown,
  eval_result,
  eval_sides,
)

_Judgments = list[Judgment] | list[PairJudgment]


def main(argv: Sequence[str]) -> int:
  """Prints what models came to.

  Args:
    argv: The arguments behind `ramjax eval mt_bench`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option that cannot be used.
    OSError: A file that cannot be read or written, or an endpoint that gives
      no answer.
  """
  args = parse(argv)
  command = ["ramjax", "eval", "mt_bench", *argv]
  if eval_mt_bench_options.judges(args):
    _judge(args, command)
  else:
    _show_recorded(args, command)
  return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
  """The options; refuses what can be told without a model.

  Raises:
    ValueError, OSError: An option or a file that cannot be used.
  """
  args = eval_mt_bench_options.parse(argv)
  if eval_mt_bench_options.judges(args):
    eval_sides.check(args, "judge")
    if eval_mt_bench_options.answers(args):
      eval_sides.check(args, "model")
    eval_mt_bench_inputs.read(args)
  return args


def _judge(args: argparse.Namespace, command: Sequence[str]) -> None:
  found = eval_mt_bench_run.judged(args)
  questions = mt_bench_files.read_questions(args.questions)
  _, (evaluation,) = _evaluate(
    found.path,
    args.mode,
    questions,
    model=found.model,
    baseline=found.baseline,
  )
  if found.canaries:
    evaluation = dataclasses.replace(
      evaluation,
      tables={**evaluation.tables, "canaries": found.canaries},
      notes=[*evaluation.notes, *grade_canaries.notes(found.canaries)],
    )
  if found.num_failed:
    rule = "requests that the judge gave no answer to: no verdict"
    counted = {**evaluation.counted, rule: found.num_failed}
    evaluation = dataclasses.replace(evaluation, counted=counted)
  path = eval_result.write(
    evaluation, found.folder, inputs=found.inputs, command=command
  )
  shown = eval_result.lines(evaluation)
  print("\n".join([*shown, *eval_result.written([path, found.path])]))


def _show_recorded(args: argparse.Namespace, command: Sequence[str]) -> None:
  path = pathlib.Path(args.judge)
  mode = mt_bench_files.mode_of(path)
  if args.mode not in (None, mode):
    raise ValueError(
      f"--mode={args.mode}, and {path} holds judgments of mode {mode}:"
      " leave --mode out, or give the other file."
    )
  inputs = [path] + ([args.questions] if args.questions else [])
  if args.out is not None:
    eval_result.refuse_inputs([_target(args, path)], inputs)
  questions = (
    None
    if args.questions is None
    else mt_bench_files.read_questions(args.questions)
  )
  judgments, evaluations = _evaluate(
    path, mode, questions, model=args.model, baseline=args.baseline
  )
  if args.out is not None:
    _write(args, inputs, judgments, evaluations, command)
  shown = evaluations[0]
  if len(evaluations) > 1:
    shown = eval_mt_bench_shown.joint(
      evaluations, eval_mt_bench_shown.MAIN[mode], len(judgments)
    )
  print("\n".join(eval_result.lines(shown)))
  if questions is None:
    print(
      "\nWithout --questions there are no categories, and what is missing is not"
      " known."
    )
  if args.out is not None:
    print(
      f"\nwritten: {_target(args, path)}, and {eval_result.FILE} of"
      f" {len(evaluations):,} models, each in its folder under {args.out}"
    )


def _write(
  args: argparse.Namespace,
  inputs: Sequence[pathlib.Path],
  judgments: _Judgments,
  evaluations: Sequence[Evaluation],
  command: Sequence[str],
) -> None:
  """Writes all, or nothing where something else lies in one of the places."""
  # Against one baseline figures are others than against all models.
  end = "" if args.baseline is None else f"_vs_{args.baseline}"
  stems = [f"{evaluation.model}{end}" for evaluation in evaluations]
  folders = eval_mt_bench_shown.folders(args.out, stems)
  for evaluation, stem in zip(evaluations, stems, strict=True):
    eval_result.refuse_other(
      folders[stem], benchmark=evaluation.benchmark, model=evaluation.model
    )
  target = _target(args, inputs[0])
  target.parent.mkdir(parents=True, exist_ok=True)
  mt_bench_files.write_judgments(target, judgments)
  for evaluation, stem in zip(evaluations, stems, strict=True):
    eval_result.write(evaluation, folders[stem], inputs=inputs, command=command)


def _evaluate(
  path: pathlib.Path,
  mode: mt_bench_files.Mode,
  questions: Mapping[int, Question] | None,
  *,
  model: str | None,
  baseline: str | None,
) -> tuple[_Judgments, list[Evaluation]]:
  """The judgments that count, and what each model came to; the best first."""
  main_figure = eval_mt_bench_shown.MAIN[mode]
  if mode == "single":
    if baseline is not None:
      raise ValueError(
        f"--baseline={baseline} is for comparisons, and {path} holds"
        " grades of single answers: leave it out."
      )
    grades = mt_bench_files.read_judgments(path)
    names = list(dict.fromkeys(row.model for row in grades))
    _require(model, names, "--model")
    if model is not None:
      grades = [row for row in grades if row.model == model]
      names = [model]
    if questions is not None:
      mt_bench_files.check_questions(grades, questions)
    found = [
      mt_bench_scores.evaluate(grades, questions, model=name) for name in names
    ]
    return grades, eval_mt_bench_shown.best_first(found, main_figure)
  if baseline is not None and baseline == model:
    raise ValueError(
      f"--model and --baseline are both {model}: a model is not compared"
      " with itself."
    )
  pairs = mt_bench_files.read_pair_judgments(path)
  for name, option in ((model, "--model"), (baseline, "--baseline")):
    _require(name, mt_bench_pairs.models(pairs), option)
    if name is not None:
      pairs = [row for row in pairs if name in (row.model_1, row.model_2)]
  if questions is not None:
    mt_bench_files.check_questions(pairs, questions)
  names = [model] if model else mt_bench_pairs.models(pairs)
  found = [
    mt_bench_pairs.evaluate(pairs, questions, model=name)
    for name in names
    if name != baseline
  ]
  return pairs, eval_mt_bench_shown.best_first(found, main_figure)


def _require(name: str | None, names: Sequence[str], option: str) -> None:
  if name is not None and name not in names:
    raise ValueError(
      f"{option}={name} is in no judgment that is left: the models are"
      f" {', '.join(names)}. A model that answers now needs a --judge that"
      " judges: a folder or URL."
    )


def _target(args: argparse.Namespace, path: pathlib.Path) -> pathlib.Path:
  """Where judgments that were read are written: FILE.jsonl, if it is all.

  Those of one model, or with one baseline, are a part, which is named for them
  as those of a judge that judges are: FILE/MODEL_vs_BASELINE.jsonl.
  """
  suffix = next(end for end in read.SUFFIXES if path.name.endswith(end))
  name = path.name.removesuffix(suffix)
  folder = args.out / eval_mt_bench_shown.JUDGMENTS
  part = "" if args.model is None else args.model
  if args.baseline is not None:
    part += f"{'_' if part else ''}vs_{args.baseline}"
  if not part:
    return folder / f"{name}.jsonl"
  return folder / name / f"{eval_mt_bench_shown.file_name(part)}.jsonl"
