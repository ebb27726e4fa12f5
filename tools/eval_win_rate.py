# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval win_rate`: how often a judge prefers a model's answers."""

import argparse
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.evals import alpaca_annotations, model_outputs, pair_win_rate
from ramjax.evals.model_outputs import ModelOutput
from ramjax.tools import (
  eval_outputs,
  eval_result,
  pair_judging,
  pair_judging_options,
)

BENCHMARK = "win_rate"
_FILES = (pair_judging.VERDICTS_FILE, pair_judging.ANNOTATIONS_FILE)


class Command(NamedTuple):
  """A command line that can run, as far as that is known without the model.

  Attributes:
    args: Its options.
    shown: What the judge is shown.
    references: The baseline's answers.
  """

  args: argparse.Namespace
  shown: pair_judging.Shown
  references: list[ModelOutput]


def parse(argv: Sequence[str]) -> Command:
  """Reads the options and all files but the model's.

  Raises:
    ValueError: A file, an option or a judge cannot be used.
    OSError: A file is not there.
  """
  args = make_parser().parse_args(argv)
  pair_judging_options.check(args)
  model = eval_outputs.check(args, args.out)
  shown = pair_judging.check(args)
  references = model_outputs.read(args.reference)
  if model is not None:
    pair_judging.check_answering(args, shown, references, model)
  return Command(args, shown, references)


def main(argv: Sequence[str]) -> int:
  """Judges, prints, and writes.

  Args:
    argv: The arguments behind `ramjax eval win_rate`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    OSError: A file is not there.
  """
  args, shown, references = parse(argv)
  inputs = [*eval_outputs.inputs(args), args.reference, *shown.paths]

  def prepare(model: str) -> None:
    eval_result.prepare(
      args.out,
      benchmark=BENCHMARK,
      model=model,
      files=[*_FILES, *eval_outputs.files(args)],
      inputs=inputs,
    )

  outputs = eval_outputs.get(
    args, [row.instruction for row in references], args.out, prepare
  )
  matched = pair_judging.with_references(
    pair_win_rate.match(model_outputs.read(outputs.path), references), shown
  )
  names = pair_judging.names(args, matched)
  pair_win_rate.require_names(matched, names)
  prepare(names.model)
  judging = pair_judging.judge(args, shown, matched.pairs)
  evaluation = pair_win_rate.evaluate(
    BENCHMARK, matched, judging, names, args.prices
  )
  alpaca_annotations.write(
    args.out / pair_judging.ANNOTATIONS_FILE,
    pair_win_rate.annotations(matched, judging.judged.verdicts, names),
  )
  eval_result.conclude(
    outputs.told_in(evaluation),
    args.out,
    inputs=[outputs.path, *inputs],
    command=["ramjax", "eval", BENCHMARK, *argv],
    model_identity=outputs.identity_with(judging.judge),
    written_before=[args.out / name for name in _FILES],
  )
  return 0


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval win_rate",
    description=(
      "Have a judge compare a model's answers with a baseline's, and say how"
      " often it prefers them.\nThe judge is a model here (a folder) or behind"
      " an OpenAI-compatible endpoint (a URL). It also\njudges canaries, pairs"
      " with a known verdict, which say how far it can be trusted.\n\n"
      "The same command again continues one that was stopped: no verdict in"
      f" DIR/{pair_judging.VERDICTS_FILE}\n"
      "is asked for twice. An endpoint's model is known"
      " by URL and name alone: where the server\nmay have put other weights"
      " behind them, give another --out."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval win_rate --model=outputs.json --reference=reference.json"
      " \\\n    --judge=Llama-3.1-70B-Instruct --prompt=alpaca_eval_clf.txt"
      " --out=results\n"
      "  ramjax eval win_rate --model=runs/mine --reference=reference.json"
      " \\\n    --judge=http://localhost:8000 --judge-name=large"
      " --prompt=template.txt --pattern=brackets \\\n    --both-orders --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--reference",
    required=True,
    type=pathlib.Path,
    metavar="FILE",
    help="the baseline's answers to the same instructions, in the same format",
  )
  parser.add_argument(
    "--out",
    required=True,
    type=pathlib.Path,
    metavar="DIR",
    help=f"where {', '.join(_FILES)} and {eval_result.FILE} go",
  )
  eval_outputs.add_options(parser)
  pair_judging_options.add_options(parser)
  return parser
