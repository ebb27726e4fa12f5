# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval mt_bench_li`: first turns whose answers may have so many words."""

import argparse
import pathlib
from collections.abc import Sequence

from ramjax.evals import (
  length_instructed,
  length_instructed_files,
  mt_bench_files,
)
from ramjax.tools import eval_length_instructed

_BENCHMARK = eval_length_instructed.Benchmark(
  name="mt_bench_li",
  key="question_id",
  group="category",
  needed={"reference": "FILE, the baseline's answers"},
)


def main(argv: Sequence[str]) -> int:
  """Evaluates, writes with --out, and prints.

  Args:
    argv: The arguments behind `ramjax eval mt_bench_li`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    OSError: A file is not there.
  """
  parser = make_parser()
  args = parser.parse_args(argv)
  eval_length_instructed.check(_BENCHMARK, args, parser, argv)
  if args.reference is not None and args.judge is None:
    raise ValueError(
      "--reference is what a judge compares with, and there is no --judge: give"
      " one, or drop --reference."
    )
  prompts = length_instructed_files.read_mt_bench(args.data)
  answers, model = _first_turns(args.model)
  paths = [args.data, args.model]
  baseline = "the baseline"
  if args.reference is not None:
    theirs, baseline = _first_turns(args.reference)
    prompts = length_instructed_files.with_baseline(
      prompts, theirs, f"--reference={args.reference}"
    )
    paths.append(args.reference)
  inputs = eval_length_instructed.Inputs(
    answered=length_instructed.match(prompts, answers),
    model=model,
    baseline=baseline,
    paths=paths,
  )
  eval_length_instructed.run(_BENCHMARK, args, inputs, argv)
  return 0


def _first_turns(path: pathlib.Path) -> tuple[dict[int, str], str]:
  """A model's answers to first turns by id, and its name."""
  answers = mt_bench_files.read_answers(path)
  name = next(iter(answers.values())).model_id
  return {key: answer.turns[0] for key, answer in answers.items()}, name


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval mt_bench_li",
    description=(
      "MT-Bench-LI (arXiv 2406.17744): how many answers to first turns have more"
      " words than the\nquestion lets them (Vlt%), by category too, and with a"
      " judge, how often they win against a\nbaseline's. An answer that is too"
      " long loses, and no judge is asked about it. Too long ones of\nthe"
      " baseline are counted, and judged like others."
    ),
    epilog=(
      "examples:\n  ramjax eval mt_bench_li --data=mt_bench_li.jsonl"
      " --model=model_answer/mine.jsonl\n"
      "  ramjax eval mt_bench_li --data=mt_bench_li.jsonl"
      " --model=model_answer/mine.jsonl \\\n"
      "    --reference=model_answer/baseline.jsonl"
      " --judge=http://localhost:8000 --judge-name=large \\\n"
      "    --prompt=alpaca_eval_clf.txt --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  for name, required, text in (
    (
      "data",
      True,
      "the questions: records with question_id, category, and turns and max_len"
      " of one entry",
    ),
    ("model", True, "the model's answers, in MT-Bench's format"),
    ("reference", False, "the baseline's answers, in the same"),
  ):
    parser.add_argument(
      f"--{name}",
      required=required,
      type=pathlib.Path,
      metavar="FILE",
      help=text,
    )
  eval_length_instructed.add_options(parser)
  return parser
