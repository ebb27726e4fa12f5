# SPDX-License-Identifier: Apache-2.0
"""What `ramjax eval alpaca_eval_li` and `mt_bench_li` share: all but files."""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ramjax.evals import alpaca_annotations, length_instructed, pair_win_rate
from ramjax.evals.judge_account import Account
from ramjax.evals.length_instructed import Answered, Verdicts
from ramjax.evals.length_instructed_files import LimitedPrompt
from ramjax.evals.model_outputs import ModelOutput
from ramjax.evals.pair_win_rate import Matched, Names
from ramjax.tools import (
  eval_outputs,
  eval_result,
  eval_sides,
  pair_judging,
  pair_judging_options,
)
from ramjax.tools.eval_outputs import Format, Outputs

# Of a judge that is asked.
FILES = (pair_judging.VERDICTS_FILE, pair_judging.ANNOTATIONS_FILE)


class Benchmark(NamedTuple):
  """One of the two.

  Attributes:
    name: As `ramjax eval` has it.
    key: The field that names a prompt.
    group: What a group of prompts is called.
    needed: Options that a judge needs which is asked, and what they are for.
    form: Of the model's answers.
  """

  name: str
  key: Literal["instruction", "question_id"]
  group: str
  needed: Mapping[str, str]
  form: Format


class Inputs(NamedTuple):
  """What the files hold.

  Attributes:
    answered: Prompts and answers.
    model: What answered.
    baseline: Whose the baseline's answers are.
    paths: The files.
    outputs: The model's answers, and who gave them.
  """

  answered: Answered
  model: str
  baseline: str
  paths: list[pathlib.Path]
  outputs: Outputs


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds --out and the judge."""
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE} there, and {' and '.join(FILES)} of a"
    " judge that is asked; the same command again continues one that was"
    " stopped",
  )
  pair_judging_options.add_options(
    parser,
    recorded="annotations.json, the verdicts on the answers",
    required=False,
  )


def check(
  benchmark: Benchmark,
  args: argparse.Namespace,
  parser: argparse.ArgumentParser,
  argv: Sequence[str],
) -> None:
  """Refuses options that do not go together, before a file is read.

  Raises:
    ValueError: Which, and what to do.
  """
  model = eval_outputs.check(args, args.out, benchmark.form)
  if _is_asked(args):
    pair_judging_options.check_asked(
      args, **benchmark.needed, out="DIR, where verdicts are kept"
    )
    return
  pair_judging_options.check_recorded(args, parser, argv)
  if model is not None and args.judge is not None:
    raise ValueError(
      f"--model={args.model} would have to answer, and --judge={args.judge} has"
      " verdicts on answers that are there: give their file, or a judge that is"
      " asked."
    )


def check_judge(
  args: argparse.Namespace, prompts: Sequence[LimitedPrompt], baseline: str
) -> pair_judging.Shown | None:
  """Opens a judge that is to be asked; no weights are loaded.

  Args:
    args: Of `add_options`, checked.
    prompts: With the baseline's answers.
    baseline: What those are called.

  Returns:
    What the judge is shown; None where there is none to ask.

  Raises:
    ValueError: It cannot be asked, or a model that would answer has the
      baseline's name or lacks known good answers.
    OSError: A file or the judge is not there.
  """
  if not _is_asked(args):
    return None
  shown = pair_judging.check(args)
  model = eval_outputs.name(args)
  if model is not None:
    judge = eval_sides.name(args, "judge")
    pair_win_rate.require_names(None, Names(model, baseline, judge))
    # The baseline's answers stand in for those that are not there yet.
    texts = [prompt.baseline or "" for prompt in prompts]
    names = Names(baseline, baseline, judge)
    pair_judging.with_references(_matched(prompts, texts, names), shown)
  return shown


def read_paths(
  args: argparse.Namespace, shown: pair_judging.Shown | None
) -> list[pathlib.Path]:
  """The files of the judge."""
  if shown is not None:
    return shown.paths
  return [] if args.judge is None else [pathlib.Path(args.judge)]


def run(
  benchmark: Benchmark,
  args: argparse.Namespace,
  inputs: Inputs,
  shown: pair_judging.Shown | None,
  argv: Sequence[str],
) -> None:
  """Judges if need be, evaluates, writes with --out, and prints.

  Args:
    benchmark: Which.
    args: Of `add_options`, checked.
    inputs: What the files hold.
    shown: From `check_judge`.
    argv: The arguments behind the benchmark's name.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    OSError: A file is not there.
  """
  paths = [*inputs.paths, *read_paths(args, shown)]
  files = FILES if shown is not None and inputs.answered.within else ()
  written = []
  if args.out is not None:
    written = [args.out / name for name in files]
    eval_result.prepare(
      args.out,
      benchmark=benchmark.name,
      model=inputs.model,
      files=files,
      inputs=paths,
    )
  verdicts, account = None, None
  if shown is not None:
    verdicts, account = _asked(benchmark, args, inputs, shown)
  elif args.judge is not None:
    verdicts = length_instructed.verdicts(
      inputs.answered,
      alpaca_annotations.read(args.judge, key=benchmark.key),
      benchmark.key,
    )
  evaluation = length_instructed.evaluate(
    benchmark.name,
    inputs.model,
    inputs.answered,
    verdicts,
    group=benchmark.group,
  )
  evaluation = inputs.outputs.told_in(evaluation)
  eval_result.conclude(
    evaluation if account is None else account.added_to(evaluation),
    args.out,
    inputs=paths,
    command=["ramjax", "eval", benchmark.name, *argv],
    model_identity=inputs.outputs.identity_with(account and account.judge),
    written_before=written,
  )


def _is_asked(args: argparse.Namespace) -> bool:
  return args.judge is not None and pair_judging_options.is_asked(args.judge)


def _asked(
  benchmark: Benchmark,
  args: argparse.Namespace,
  inputs: Inputs,
  shown: pair_judging.Shown,
) -> tuple[Verdicts, Account | None]:
  """The judge's verdicts on what keeps its limit; it is asked of no more."""
  names = Names(
    model=inputs.model,
    reference=inputs.baseline,
    judge=eval_sides.name(args, "judge"),
  )
  within = inputs.answered.within
  if not within:
    return Verdicts(names.judge, names.reference, {}), None
  matched = _matched(
    [inputs.answered.prompts[i] for i in within],
    [inputs.answered.texts[i] for i in within],
    names,
  )
  matched = pair_judging.with_references(matched, shown)
  pair_win_rate.require_names(matched, names)
  judged, account = pair_judging.annotate(
    args, shown, matched, names, key=benchmark.key
  )
  verdicts = length_instructed.verdicts(inputs.answered, judged, benchmark.key)
  return verdicts, account


def _matched(
  prompts: Sequence[LimitedPrompt], texts: Sequence[str], names: Names
) -> Matched:
  """Answers beside the baseline's."""
  return Matched(
    outputs=[
      ModelOutput(prompt.instruction, text, names.model, prompt.group)
      for prompt, text in zip(prompts, texts, strict=True)
    ],
    references=[
      ModelOutput(prompt.instruction, prompt.baseline or "", names.reference)
      for prompt in prompts
    ],
    num_without_reference=0,
    num_without_output=0,
    question_ids=[
      prompt.key for prompt in prompts if isinstance(prompt.key, int)
    ]
    or None,
  )
