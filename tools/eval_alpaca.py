# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval`: win rates of a model from a judge's verdicts."""

import argparse
import pathlib
from collections.abc import Sequence

from ramjax.evals import (
  alpaca_annotations,
  alpaca_eval,
  alpaca_leaderboard,
  length_constants,
  model_outputs,
)
from ramjax.tools import eval_result

ANNOTATIONS_FILE = "annotations.json"
LEADERBOARD_FILE = "leaderboard.csv"
_OFFICIAL = (ANNOTATIONS_FILE, LEADERBOARD_FILE)


def main(argv: Sequence[str]) -> int:
  """Evaluates, writes with --out, and prints.

  Args:
    argv: The arguments behind `ramjax eval alpaca_eval`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used.
    FileNotFoundError: A file is not there.
  """
  args = _parser().parse_args(argv)
  options = (args.model, args.judge, args.reference, args.gamed)
  paths = [p for p in (*options, args.difficulty) if p is not None]
  if args.out is not None:
    places = [args.out / name for name in (eval_result.FILE, *_OFFICIAL)]
    eval_result.refuse_inputs(places, paths)
  inputs = _read(args)
  result = alpaca_eval.evaluate(inputs)
  written = []
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=result.evaluation.benchmark,
      model=result.evaluation.model,
      files=_OFFICIAL,
      inputs=paths,
    )
    written = _write_official(inputs, result, args.out)
  eval_result.conclude(
    result.evaluation,
    args.out,
    inputs=paths,
    command=["ramjax", "eval", alpaca_eval.BENCHMARK, *argv],
    written_before=written,
  )
  return 0


def _read(args: argparse.Namespace) -> alpaca_eval.Inputs:
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
  inputs = alpaca_eval.Inputs(
    outputs=model_outputs.read(args.model),
    judged=alpaca_annotations.read(args.judge),
    reference=args.reference and model_outputs.read(args.reference),
    constants=args.gamed and length_constants.read_gamed(args.gamed),
    difficulty=args.difficulty
    and length_constants.read_difficulty(args.difficulty),
    by_instruction=args.by_instruction,
  )
  alpaca_eval.require_same_texts(inputs.judged, inputs.outputs, side=2)
  if inputs.reference is not None:
    alpaca_eval.require_same_texts(inputs.judged, inputs.reference, side=1)
  return inputs


def _write_official(
  inputs: alpaca_eval.Inputs, result: alpaca_eval.Result, folder: pathlib.Path
) -> list[pathlib.Path]:
  """Writes the authors' files, and returns their places.

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
    folder / ANNOTATIONS_FILE, inputs.judged.rows, predictions
  )
  alpaca_leaderboard.write(
    folder / LEADERBOARD_FILE, result.evaluation.model, figures
  )
  return [folder / name for name in _OFFICIAL]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax eval alpaca_eval",
    description=(
      "Say how often a judge prefers a model's outputs to a baseline's: the"
      " metrics of AlpacaEval\n1 and 2, from files. The length-controlled win"
      " rate of the leaderboard needs two tables that\nits authors publish"
      " (dataset tatsu-lab/alpaca_eval on the hub), which do not come with"
      " ramjax;\nwithout them a variant is printed that no leaderboard has."
    ),
    epilog=(
      "example:\n  ramjax eval alpaca_eval --model=model_outputs.json"
      " --judge=annotations.json \\\n    --gamed=df_gamed.csv"
      " --difficulty=instruction_difficulty.csv --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  for name, required, text in (
    ("model", True, "the model's outputs: model_outputs.json"),
    ("judge", True, "the verdicts on them: annotations.json"),
    ("reference", False, "the baseline's outputs: numbers the instructions"),
    ("gamed", False, "df_gamed.csv: the frozen rows of the length control"),
    (
      "difficulty",
      False,
      "instruction_difficulty.csv: checked against --gamed, which has the same"
      " numbers",
    ),
  ):
    parser.add_argument(
      f"--{name}",
      required=required,
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
    help=f"write {eval_result.FILE}, {ANNOTATIONS_FILE} and {LEADERBOARD_FILE}"
    " there; files of these names are replaced",
  )
  return parser
