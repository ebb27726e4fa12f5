# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert verify`: are two models the same, and if not, how far apart."""

import argparse
import json
import math
import pathlib
import sys
from collections.abc import Sequence

import tqdm

from ramjax.evals import output_difference as outputs_lib
from ramjax.evals.output_difference import OutputDifference
from ramjax.models import model_difference, tensors
from ramjax.models.open_model import open_model
from ramjax.models.tensors import Source
from ramjax.tools import convert_options, verify_prompts, verify_report

_WEIGHTS_ONLY = "--weights-only was given"


# As diff has it: 1 says that they differ.
ERROR_STATUS = 2


def main(argv: Sequence[str]) -> int:
  """Compares, prints what differs; 0 for the same model, 1 for another."""
  args = _parser().parse_args(argv)
  if args.json is not None and not args.json.parent.is_dir():
    raise FileNotFoundError(
      f"--json={args.json}: the folder {args.json.parent} does not exist."
      " Create it first."
    )
  if args.weights_only and args.prompts is not None:
    raise ValueError(
      f"--prompts={args.prompts} goes with models that are run, and"
      " --weights-only runs none: leave one of them out."
    )
  first = open_model(args.first, step=args.step, average=args.average)
  second = open_model(args.second)
  sizes = first.config.vocab_size, second.config.vocab_size
  prompts = [] if args.weights_only else _prompts(args, min(sizes))
  models = (first, second)
  total = sum(tensors.num_bytes(s) for m in models for s in m.specs.values())
  with tqdm.tqdm(
    total=total,
    unit="B",
    unit_scale=True,
    desc="comparing",
    disable=not sys.stderr.isatty(),
  ) as bar:
    weights = model_difference.model_difference(
      first, second, on_bytes=bar.update
    )
  outputs = _outputs(first, second, prompts)
  judged = verify_report.verdict(
    weights, outputs, tolerance=args.tolerance, sizes=sizes
  )
  names = str(args.first), str(args.second)
  print("\n".join(verify_report.lines(names, models, weights, outputs, judged)))
  if args.json is not None:
    report = verify_report.as_json(names, weights, outputs, judged)
    report["prompts"] = [prompt.tolist() for prompt in prompts]
    report["tolerance"] = args.tolerance
    args.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
  return 0 if judged.is_same else 1


def _prompts(args: argparse.Namespace, vocab_size: int) -> list:
  prompts = verify_prompts.fixed_prompts(vocab_size)
  if args.prompts is not None:
    prompts += verify_prompts.text_prompts(args.prompts, args.first, vocab_size)
  return prompts


def _outputs(
  first: Source, second: Source, prompts: list
) -> OutputDifference | str:
  if not prompts:
    return _WEIGHTS_ONLY
  if reason := outputs_lib.incomparable(first, second):
    return reason
  return outputs_lib.output_difference(first, second, prompts)


def _tolerance(text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 <= value < math.inf:
    raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
  return value


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert verify",
    description=(
      "Compare two models, each a run's folder or a Hugging Face one: config,"
      " names,\nshapes, dtypes and SHA-256 of every tensor, how far apart the"
      " values of those\nthat differ are, and what both models answer on fixed"
      " prompts (4 of 32\npseudo-random tokens), computed here in float32 on"
      " all devices. That needs the\nmemory of one model in float32; without"
      " it, about 1 GB. --step and --average\napply to A, if it is a run; of B"
      " the newest checkpoint is taken.\n\nExit status: 0 if every tensor is equal to the byte,"
      " or all logits (scores of a\nreward model) are within the tolerance; 1"
      " if not; 2 for an error."
    ),
    epilog=(
      "examples:\n  ramjax convert verify Llama-3.2-1B exported\n"
      "  ramjax convert verify runs/mine exported --step=500 --weights-only"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("first", metavar="A", type=pathlib.Path)
  parser.add_argument("second", metavar="B", type=pathlib.Path)
  parser.add_argument(
    "--prompts",
    metavar="FILE",
    type=pathlib.Path,
    help="also compare on the lines of a text file, by the tokenizer of A",
  )
  parser.add_argument(
    "--tolerance",
    metavar="MAX",
    type=_tolerance,
    default=1e-4,
    help="largest difference of a logit that is the same (default: %(default)g)",
  )
  parser.add_argument(
    "--weights-only",
    action="store_true",
    help="run no model: only equal bytes are then the same",
  )
  parser.add_argument(
    "--json",
    metavar="FILE",
    type=pathlib.Path,
    help="also write everything there: every tensor, every position",
  )
  convert_options.add_checkpoint(parser)
  return parser
