# SPDX-License-Identifier: Apache-2.0
"""The options of `ramjax eval mt_bench`, and which of them go together."""

import argparse
import pathlib
from collections.abc import Sequence

from ramjax.evals import mt_bench_answers, mt_bench_judging
from ramjax.tools import (
  eval_mt_bench_shown,
  eval_result,
  eval_sides,
  judge_failures,
  option_types,
)

_DESCRIPTION = """\
Print what a model comes to on MT-Bench: grades (means by turn and category) or
comparisons with another model (shares of wins, after both orders).

--judge=FILE takes the judgments of a recorded judge, and shows all of its models
or one. With --judge=FOLDER or URL a model judges now, and --model answers the
questions first, unless it is a file of answers. Questions, prompts and reference
answers are the benchmark's own files, which do not come with ramjax. The rules
are those of its authors' tool; what they leave out or count twice is said.

Under --out lie model_answer/MODEL.jsonl and model_judgment/JUDGE_single/
MODEL.jsonl (or JUDGE_pair/MODEL_vs_BASELINE.jsonl), in the official formats. Run
the same command again to continue one that was stopped: nothing that was
finished is answered or judged twice. An endpoint's model is known by URL and name
alone: where other weights are behind them by now, give another --out. The judge
also judges canaries, changed answers that should get no better a grade.
"""

_EPILOG = """\
examples:
  ramjax eval mt_bench --judge=gpt-4_single.jsonl --questions=question.jsonl
  ramjax eval mt_bench --judge=gpt-4_pair.jsonl --questions=question.jsonl \\
      --baseline=gpt-3.5-turbo --out=results

  a run's model, graded by an endpoint's:
  ramjax eval mt_bench --model=runs/mine \\
      --judge=https://api.example.com/v1 --judge-name=large \\
      --judge-key-env=EXAMPLE_API_KEY --questions=question.jsonl \\
      --judge-prompts=judge_prompts.jsonl \\
      --references=reference_answer/gpt-4.jsonl --out=evals/mt_bench

  answers that were made before, compared by a model here with those of another:
  ramjax eval mt_bench --model=evals/mt_bench/model_answer/mine.jsonl \\
      --judge=Llama-3.1-8B-Instruct --baseline=model_answer/base.jsonl \\
      --questions=question.jsonl --judge-prompts=judge_prompts.jsonl \\
      --references=reference_answer/gpt-4.jsonl --out=evals/mt_bench
"""


_CANARIES = 5
_MAX_INVALID = 0.1


def parse(argv: Sequence[str]) -> argparse.Namespace:
  """The options, which fit together.

  Raises:
    ValueError: They do not.
  """
  args = make_parser().parse_args(argv)
  if judges(args):
    _check_judging(args)
  else:
    _check_recorded(args)
  return args


def judges(args: argparse.Namespace) -> bool:
  """Whether --judge judges now, and is no file of judgments."""
  return _answers(args.judge)


def answers(args: argparse.Namespace) -> bool:
  """Whether --model answers now, and is no file of answers."""
  return _answers(args.model)


def _answers(source: str) -> bool:
  return eval_sides.is_url(source) or pathlib.Path(source).is_dir()


def _check_recorded(args: argparse.Namespace) -> None:
  names = [
    f"--{name.replace('_', '-')}"
    for name in (
      *("judge_prompts", "references", "seed", "force"),
      *("canaries", "max_invalid"),
    )
    if eval_sides.is_set(getattr(args, name))
  ]
  for side in ("model", "judge"):
    names += eval_sides.given(args, side)
  if names:
    raise ValueError(
      f"{', '.join(names)} go with a judge that is a folder or URL, and"
      f" --judge={args.judge} is taken for a file of judgments: leave them out."
    )


def _check_judging(args: argparse.Namespace) -> None:
  for name in ("model", "questions", "judge_prompts", "out"):
    if getattr(args, name) is None:
      raise ValueError(
        f"--{name.replace('_', '-')} is missing, which --judge={args.judge} needs"
        " to judge: give it, or a file of judgments as --judge."
      )
  if args.canaries is None:
    args.canaries = _CANARIES
  if args.max_invalid is None:
    args.max_invalid = _MAX_INVALID
  judge_failures.most_of(args.max_invalid, 1)  # Refuses what is no share.
  if args.mode is None:
    args.mode = "single" if args.baseline is None else "pair"
  if (args.mode == "pair") != (args.baseline is not None):
    raise ValueError(
      f"--mode={args.mode}: --baseline=FILE, the answers to compare with, goes"
      " with pair, and pair with it."
    )
  if not answers(args):
    names = eval_sides.given(args, "model")
    names += [] if args.seed is None else ["--seed"]
    if names:
      raise ValueError(
        f"{', '.join(names)} go with a model that is a folder or URL, and"
        f" --model={args.model} is taken for a file of answers: leave them out."
      )


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval mt_bench",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--judge",
    required=True,
    metavar="FILE|FOLDER|URL",
    help="judgments as the authors' tool writes them (may be compressed); or who"
    " judges: a run's folder, a Hugging Face one, the URL of an"
    " OpenAI-compatible endpoint",
  )
  parser.add_argument(
    "--model",
    metavar="NAME|FILE|FOLDER|URL",
    help="of recorded judgments: this model alone, as they name it (default:"
    " all); else who answers, or an answer file",
  )
  parser.add_argument(
    "--questions",
    type=pathlib.Path,
    metavar="FILE",
    help="question.jsonl: for categories, and to tell what is missing",
  )
  parser.add_argument(
    "--mode",
    choices=tuple(eval_mt_bench_shown.MAIN),
    help="what the judgments must be; without: whatever they are, or pair if"
    " there is a --baseline",
  )
  parser.add_argument(
    "--baseline",
    metavar="MODEL|FILE",
    help="of recorded comparisons: those with this model alone, which gets no"
    " row; else the answer file to compare with",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write MODEL/{eval_result.FILE} (or MODEL_vs_BASELINE/) there, and the"
    f" judgments that count to {eval_mt_bench_shown.JUDGMENTS}/FILE.jsonl, or a"
    " part of them to FILE/MODEL_vs_BASELINE.jsonl; needed to answer and judge",
  )
  _add_judging(parser)
  eval_sides.add_options(parser, "model", most=mt_bench_answers.MAX_TOKENS)
  eval_sides.add_options(parser, "judge", most=mt_bench_judging.MAX_TOKENS)
  return parser


def _add_judging(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("to answer and judge")
  group.add_argument(
    "--judge-prompts",
    type=pathlib.Path,
    metavar="FILE",
    help="the official judge_prompts.jsonl",
  )
  group.add_argument(
    "--references",
    type=pathlib.Path,
    metavar="FILE",
    help="reference_answer/gpt-4.jsonl, which math, reasoning and coding need",
  )
  group.add_argument(
    "--seed",
    type=int,
    metavar="NUM",
    help="of the answers, from 0 to 2^32 - 1; each has its own, made of it, the"
    " question's id and the turn (default: 0)",
  )
  group.add_argument(
    "--max-invalid",
    type=float,
    metavar="SHARE",
    help="of judgments that may have no verdict, those that an endpoint fails"
    f" on among them (default: {_MAX_INVALID:g})",
  )
  group.add_argument(
    "--canaries",
    type=option_types.count,
    metavar="NUM",
    help="first answers that are judged once more in each of three kinds: left"
    " out, replaced by a request for a high grade, padded; none should come out"
    " better"
    f" (default: {_CANARIES})",
  )
  group.add_argument(
    "--force",
    action="store_true",
    help="write answers and judgments anew, whatever is in their files; what was"
    f" asked before is taken from {eval_mt_bench_shown.CACHE}/ in --out",
  )
