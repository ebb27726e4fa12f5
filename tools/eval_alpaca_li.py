# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval alpaca_eval_li`: answers that may have so many words."""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.evals import (
  length_instructed,
  length_instructed_files,
  model_outputs,
  replaced_file,
)
from ramjax.evals.length_instructed_files import LimitedPrompt
from ramjax.tools import (
  eval_length_instructed,
  eval_outputs,
  eval_result,
  eval_sides,
  pair_judging,
  pair_judging_options,
)

_BENCHMARK = eval_length_instructed.Benchmark(
  name="alpaca_eval_li",
  key="instruction",
  group="dataset",
  needed={},
  form=eval_outputs.OUTPUTS,
)


class Command(NamedTuple):
  """A command line that can run, as far as that is known without the model.

  Attributes:
    args: Its options.
    prompts: What is asked; none where they are to be made.
    baseline: Whose the baseline's answers are.
    shown: What a judge is shown that is asked.
  """

  args: argparse.Namespace
  prompts: list[LimitedPrompt]
  baseline: str
  shown: pair_judging.Shown | None


def parse(argv: Sequence[str]) -> Command:
  """Reads the options and all files but answers and recorded verdicts.

  Raises:
    ValueError: A file, an option or a judge cannot be used.
    OSError: A file is not there.
  """
  parser = make_parser()
  args = parser.parse_args(argv)
  if args.make_from is not None:
    _check_making(args, parser, argv)
    return Command(args, [], "", None)
  if args.model is None:
    raise ValueError(
      "--model=FILE is missing, the answers to evaluate, or the model that"
      " answers (--make-from alone does without)."
    )
  eval_length_instructed.check(_BENCHMARK, args, parser, argv)
  prompts, baseline = length_instructed_files.read_alpaca(args.data)
  shown = eval_length_instructed.check_judge(args, prompts, baseline)
  return Command(args, prompts, baseline, shown)


def main(argv: Sequence[str]) -> int:
  """Evaluates, writes with --out, and prints; or makes the prompts.

  Args:
    argv: The arguments behind `ramjax eval alpaca_eval_li`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    OSError: A file is not there.
  """
  args, prompts, baseline, shown = parse(argv)
  if args.make_from is not None:
    _make(args)
    return 0

  def prepare(model: str) -> None:
    eval_result.prepare(
      args.out,
      benchmark=_BENCHMARK.name,
      model=model,
      files=[*eval_length_instructed.FILES, *eval_outputs.files(args)],
      inputs=[args.data, *eval_length_instructed.read_paths(args, shown)],
    )

  outputs = eval_outputs.get(
    args, [prompt.instruction for prompt in prompts], args.out, prepare
  )
  answers = length_instructed_files.read_answers(outputs.path)
  inputs = eval_length_instructed.Inputs(
    answered=length_instructed.match(
      prompts, {answer.instruction: answer.output for answer in answers}
    ),
    model=answers[0].generator or outputs.path.stem,
    baseline=baseline,
    paths=[args.data, outputs.path],
    outputs=outputs,
  )
  eval_length_instructed.run(_BENCHMARK, args, inputs, shown, argv)
  return 0


def _check_making(
  args: argparse.Namespace,
  parser: argparse.ArgumentParser,
  argv: Sequence[str],
) -> None:
  """Refuses what is for an evaluation, or to replace prompts."""
  for name in ("model", "judge", "out"):
    if getattr(args, name) is not None:
      raise ValueError(
        f"--{name} is for an evaluation, and --make-from makes the prompts of"
        f" one: drop --{name}, and evaluate once the prompts are answered."
      )
  if given := eval_sides.given(args, "model"):
    raise ValueError(
      f"{', '.join(given)}: for a model that answers, and --make-from asks"
      " none: leave them out."
    )
  pair_judging_options.check_recorded(args, parser, argv)
  if args.data.exists():
    raise ValueError(
      f"--data={args.data} is there already: delete it, or name another file."
    )


def _make(args: argparse.Namespace) -> None:
  """Writes --data from models' answers to plain instructions."""
  models = [model_outputs.read(path) for path in args.make_from]
  records, num_left_out = length_instructed_files.make_records(models)
  replaced_file.replace_file(
    args.data,
    (json.dumps(record, ensure_ascii=False) + "\n" for record in records),
  )
  print(f"{len(records):,} prompts: written to {args.data}")
  if num_left_out:
    print(
      f"{num_left_out:,} instructions that not all answer in words left out"
    )


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval alpaca_eval_li",
    description=(
      "AlpacaEval-LI (arXiv 2406.17744): how many answers have more words than"
      " the instruction lets\nthem (Vlt%), and with a judge, how often they win"
      " against the baseline. An answer that is too\nlong loses, and no judge is"
      " asked about it."
    ),
    epilog=(
      "examples:\n  ramjax eval alpaca_eval_li --data=alpacaeval_li.jsonl"
      " --model=outputs.json --out=results\n"
      "  ramjax eval alpaca_eval_li --data=alpacaeval_li.jsonl"
      " --model=outputs.json \\\n    --judge=Llama-3.1-70B-Instruct"
      " --prompt=alpaca_eval_clf.txt --out=results\n\n"
      "without the official file, prompts of its kind from models' answers:\n"
      "  ramjax eval alpaca_eval_li --data=my_li.jsonl"
      " --make-from gpt4.json claude.json"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--data",
    required=True,
    type=pathlib.Path,
    metavar="FILE",
    help="the prompts: records with instruction (the line with its limit first),"
    " max_len and output, the baseline's answer",
  )
  parser.add_argument(
    "--make-from",
    nargs="+",
    type=pathlib.Path,
    metavar="FILE",
    help="evaluate nothing, and write --data: model_outputs.json of models that"
    " answered plain instructions. The shortest answer is an instruction's"
    " baseline, and its words the limit",
  )
  eval_outputs.add_options(parser, required=False)
  eval_length_instructed.add_options(parser)
  return parser
