# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval`: win rates of a model from a judge's verdicts."""

import argparse
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ramjax.evals import (
  alpaca_annotations,
  alpaca_eval,
  alpaca_inputs,
  alpaca_leaderboard,
  length_constants,
  model_outputs,
  pair_win_rate,
)
from ramjax.evals.alpaca_annotations import Annotations
from ramjax.evals.judge_account import Account
from ramjax.evals.length_constants import Difficulty, LengthConstants
from ramjax.evals.model_outputs import ModelOutput
from ramjax.tools import (
  eval_outputs,
  eval_result,
  eval_sides,
  pair_judging,
  pair_judging_options,
)

LEADERBOARD_FILE = "leaderboard.csv"
_OFFICIAL = (pair_judging.ANNOTATIONS_FILE, LEADERBOARD_FILE)


class Command(NamedTuple):
  """A command line that can run, as far as that is known without the model.

  Attributes:
    args: Its options.
    shown: What a judge is shown that is asked; None of recorded verdicts.
    reference: The baseline's outputs.
    constants: Of the length control.
    difficulty: The table that goes with them.
  """

  args: argparse.Namespace
  shown: pair_judging.Shown | None
  reference: list[ModelOutput] | None
  constants: LengthConstants | None
  difficulty: Difficulty | None


def parse(argv: Sequence[str]) -> Command:
  """Reads the options and all files but the model's and recorded verdicts.

  Raises:
    ValueError: A file, an option or a judge cannot be used.
    OSError: A file is not there.
  """
  parser = make_parser()
  args = parser.parse_args(argv)
  asked = pair_judging_options.is_asked(args.judge)
  _check(args, asked)
  if asked:
    pair_judging_options.check_asked(
      args,
      reference="FILE, the baseline's outputs",
      out="DIR, where verdicts are kept",
    )
  else:
    pair_judging_options.check_recorded(args, parser, argv)
  model = eval_outputs.check(args, args.out)
  command = Command(
    args=args,
    shown=pair_judging.check(args) if asked else None,
    reference=args.reference and model_outputs.read(args.reference),
    constants=args.gamed and length_constants.read_gamed(args.gamed),
    difficulty=args.difficulty
    and length_constants.read_difficulty(args.difficulty),
  )
  alpaca_inputs.require_one_set(
    command.reference, command.constants, command.difficulty
  )
  if model is not None and command.shown and command.reference:
    pair_judging.check_answering(args, command.shown, command.reference, model)
  return command


def main(argv: Sequence[str]) -> int:
  """Judges if need be, evaluates, writes with --out, and prints.

  Args:
    argv: The arguments behind `ramjax eval alpaca_eval`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    FileNotFoundError: A file is not there.
  """
  command = parse(argv)
  args, asked = command.args, command.shown is not None
  files = [*([pair_judging.VERDICTS_FILE] if asked else []), *_OFFICIAL]
  files += eval_outputs.files(args)
  paths = _paths(args, asked)
  if args.out is not None:
    places = [args.out / name for name in (eval_result.FILE, *files)]
    eval_result.refuse_inputs(places, paths)

  def prepare(model: str) -> None:
    eval_result.prepare(
      args.out,
      benchmark=alpaca_eval.BENCHMARK,
      model=model,
      files=files,
      inputs=paths,
    )

  made = eval_outputs.get(
    args,
    [row.instruction for row in command.reference or ()],
    args.out,
    prepare,
  )
  outputs = model_outputs.read(made.path)
  if asked:
    judged, account = _judged(command, outputs, prepare)
  else:
    judged, account = _recorded(command, outputs), None
  inputs = alpaca_inputs.Inputs(
    outputs=outputs,
    judged=judged,
    reference=command.reference,
    constants=command.constants,
    difficulty=command.difficulty,
    by_instruction=args.by_instruction,
  )
  result = alpaca_eval.evaluate(inputs)
  evaluation = made.told_in(result.evaluation)
  if args.out is not None:
    prepare(evaluation.model)
    _write_official(inputs, result, args.out)
  eval_result.conclude(
    evaluation if account is None else account.added_to(evaluation),
    args.out,
    inputs=[*paths, *([made.path] if made.identity else [])],
    command=["ramjax", "eval", alpaca_eval.BENCHMARK, *argv],
    model_identity=made.identity_with(account and account.judge),
    written_before=[args.out / name for name in files] if args.out else [],
  )
  return 0


def _paths(args: argparse.Namespace, asked: bool) -> list[pathlib.Path]:
  """The files that are read."""
  paths = [
    path
    for path in (
      None if asked else pathlib.Path(args.judge),
      args.reference,
      args.gamed,
      args.difficulty,
      args.prompt,
      args.references,
    )
    if path is not None
  ]
  return [*eval_outputs.inputs(args), *paths]


def _check(args: argparse.Namespace, asked: bool) -> None:
  """Refuses options that lack others."""
  if eval_outputs.name(args) is not None and not asked:
    is_url = eval_sides.is_url(args.model)
    kind = "an endpoint" if is_url else "a directory"
    raise ValueError(
      f"--model={args.model} is {kind}, so a model that would have to answer, and"
      f" --judge={args.judge} has verdicts on answers that are there: give their"
      " file, or a judge that is asked."
    )
  if args.gamed is None and (args.difficulty or args.by_instruction):
    given = "--difficulty" if args.difficulty else "--by-instruction"
    raise ValueError(
      f"{given} is for the published length control, which also needs"
      " --gamed=df_gamed.csv, the authors' frozen rows. Give it, or drop"
      f" {given}."
    )
  if args.by_instruction and args.reference is None:
    raise ValueError(
      "--by-instruction needs --reference=reference_outputs.json: difficulties"
      " are numbered in the order of its instructions. Give it."
    )


def _recorded(command: Command, outputs: Sequence[ModelOutput]) -> Annotations:
  judged = alpaca_annotations.read(command.args.judge)
  alpaca_inputs.require_same_texts(judged, outputs, side=2)
  if command.reference is not None:
    alpaca_inputs.require_same_texts(judged, command.reference, side=1)
  return judged


def _judged(
  command: Command,
  outputs: Sequence[ModelOutput],
  prepare: Callable[[str], None],
) -> tuple[Annotations, Account]:
  args, shown = command.args, command.shown
  # `check_asked` saw to it.
  assert shown is not None and command.reference is not None
  matched = pair_judging.with_references(
    pair_win_rate.match(outputs, command.reference), shown
  )
  names = pair_judging.names(args, matched)
  pair_win_rate.require_names(matched, names)
  prepare(names.model)
  return pair_judging.annotate(args, shown, matched, names)


def _write_official(
  inputs: alpaca_inputs.Inputs, result: alpaca_eval.Result, folder: pathlib.Path
) -> None:
  """Writes the authors' files.

  What they have of a length control is written only of one that is theirs: by
  position, with the published constants, against the same baseline and by the
  same judge.
  """
  figures = dict(result.evaluation.figures)
  predictions = None
  if result.controlled is not None and result.is_comparable:
    predictions = result.controlled.predictions.tolist()
  else:
    figures |= {"length_controlled_winrate": None, "lc_standard_error": None}
  alpaca_annotations.write(
    folder / pair_judging.ANNOTATIONS_FILE, inputs.judged.rows, predictions
  )
  alpaca_leaderboard.write(
    folder / LEADERBOARD_FILE, result.evaluation.model, figures
  )


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval alpaca_eval",
    description=(
      "Say how often a judge prefers a model's outputs to a baseline's: the"
      " metrics of AlpacaEval\n1 and 2, from recorded verdicts or those of a"
      " judge that is asked here. The length-controlled\nwin rate of the"
      " leaderboard needs two tables that its authors publish (dataset\n"
      "tatsu-lab/alpaca_eval on the hub), which do not come with ramjax;"
      " without them a variant is\nprinted that no leaderboard has.\n\n"
      "With a judge that is asked, the same command again continues one that"
      f" was stopped: no verdict\nin DIR/{pair_judging.VERDICTS_FILE} is asked"
      " for twice."
    ),
    epilog=(
      "examples:\n  ramjax eval alpaca_eval --model=model_outputs.json"
      " --judge=annotations.json \\\n    --gamed=df_gamed.csv"
      " --difficulty=instruction_difficulty.csv --out=results\n"
      "  ramjax eval alpaca_eval --model=model_outputs.json"
      " --reference=baseline.json \\\n    --judge=Llama-3.1-70B-Instruct"
      " --prompt=alpaca_eval_clf.txt --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  for name, text in (
    (
      "reference",
      "the baseline's outputs: numbers the instructions, and is what a judge"
      " that is asked compares with",
    ),
    ("gamed", "df_gamed.csv: the frozen rows of the length control"),
    (
      "difficulty",
      "instruction_difficulty.csv: checked against --gamed, which has the same"
      " numbers",
    ),
  ):
    parser.add_argument(
      f"--{name}",
      type=pathlib.Path,
      metavar="FILE",
      help=text,
    )
  parser.add_argument(
    "--by-instruction",
    action="store_true",
    help="look difficulties up by instruction, and not by position as the"
    " published figures have them; needs --reference",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE}, {' and '.join(_OFFICIAL)} there; files of"
    " these names are replaced. Verdicts of a judge that is asked are added to"
    f" {pair_judging.VERDICTS_FILE}",
  )
  eval_outputs.add_options(parser)
  pair_judging_options.add_options(
    parser, recorded="annotations.json, the verdicts on the outputs"
  )
  return parser
