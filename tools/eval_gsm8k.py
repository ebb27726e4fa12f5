# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval gsm8k`: word problems, answered with a number."""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data.wilson import wilson_interval
from ramjax.evals import number_match_reward, replaced_file
from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_answers, eval_result, option_types

_BENCHMARK = "gsm8k"
_MAX_TOKENS = 512
_PROMPTS_FILE = "prompts.jsonl"
_QUESTION, _ANSWER = "question", "answer"


def main(argv: Sequence[str]) -> int:
  """Writes the accuracy with --out, and prints it.

  Args:
    argv: The arguments behind `ramjax eval gsm8k`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  args, more = parse(argv)
  inputs = [args.data, *([args.shots] if args.shots else [])]
  files = [_PROMPTS_FILE] if args.shots else []
  eval_answers.prepare(args, benchmark=_BENCHMARK, files=files, inputs=inputs)
  data = args.data
  if args.shots is not None:
    data = _with_shots(args)
  found = eval_answers.answers(args, more, data, max_tokens=_MAX_TOKENS)
  evaluation = dataclasses.replace(
    evaluate(
      found.records,
      found.responses,
      model=args.model,
      shots=args.num_shots or 0,
    ),
    notes=found.notes,
  )
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=[*inputs, found.file],
    command=["ramjax", "eval", "gsm8k", *argv],
    model_identity=found.model_identity,
  )
  return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """The options, and those that are for `ramjax generate`.

  Raises:
    ValueError, OSError: An option or a file that cannot be used, as far as that
      shows without the model.
  """
  args, more = make_parser().parse_known_args(argv)
  if (args.shots is None) != (args.num_shots is None):
    raise ValueError("--shots and --num-shots go together: give both, or none.")
  eval_answers.check(args, more)
  _read(args.data)  # Refuses what has no question or no number.
  if args.shots is not None:
    _read(args.shots)
  return args, more


def evaluate(
  records: Sequence[Mapping[str, Any]],
  responses: Sequence[str],
  *,
  model: str,
  shots: int,
) -> Evaluation:
  """The share of right answers in percent, with its interval.

  Args:
    records: GSM8K's: the number is what follows #### in `answer`.
    responses: One for each: the last number in it counts.
    model: What answered.
    shots: Examples it was shown.
  """
  found = [number_match_reward.last_number(text) for text in responses]
  right = sum(
    number == number_match_reward.number_of(record[_ANSWER])
    for number, record in zip(found, records, strict=True)
  )
  low, high = wilson_interval(right, len(records))
  return Evaluation(
    benchmark=_BENCHMARK,
    model=model,
    figures={
      "problems": len(records),
      "examples shown": shots,
      "accuracy, %": 100 * right / len(records),
      "accuracy, 95 % from": 100 * low,
      "accuracy, 95 % to": 100 * high,
    },
    counted={"answers have no number": found.count(None)},
  )


def _read(path: pathlib.Path) -> list[Mapping[str, Any]]:
  records = eval_answers.read(path)
  for number, record in enumerate(records, 1):
    if not isinstance(record.get(_QUESTION), str):
      raise ValueError(f"{path}: record {number} has no text {_QUESTION!r}.")
    if number_match_reward.number_of(record.get(_ANSWER)) is None:
      raise ValueError(
        f"{path}: record {number} has no number in {_ANSWER!r}, where GSM8K has"
        " it behind ####."
      )
  return records


def _with_shots(args: argparse.Namespace) -> pathlib.Path:
  """The problems as conversations that begin with examples, in a file."""
  if args.out is None:
    raise ValueError("--shots needs --out=DIR, where the prompts go.")
  examples = _read(args.shots)
  if len(examples) < args.num_shots:
    raise ValueError(
      f"--num-shots={args.num_shots}: {args.shots} has {len(examples)} examples."
    )
  before = [
    {"role": role, "content": example[key]}
    for example in examples[: args.num_shots]
    for role, key in (("user", _QUESTION), ("assistant", _ANSWER))
  ]
  shown = {turn["content"] for turn in before}
  path = args.out / _PROMPTS_FILE
  lines = []
  for number, record in enumerate(_read(args.data), 1):
    if record[_QUESTION] in shown:
      raise ValueError(
        f"{args.data}: problem {number} is one of the --shots: take examples"
        " from the training split."
      )
    asked = {"role": "user", "content": record[_QUESTION]}
    row = {"prompt": [*before, asked], _ANSWER: record[_ANSWER]}
    lines.append(json.dumps(row, ensure_ascii=False) + "\n")
  replaced_file.replace_file(path, lines)
  return path


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval gsm8k",
    description=(
      "Answer the problems of GSM8K (arXiv 2110.14168) greedily; the last"
      " number of an answer counts.\nWithout --shots a problem is one user turn,"
      " as chat models are evaluated."
    ),
    epilog=(
      "All other options are those of `ramjax generate`: --template, --slots,"
      " --max-tokens\n"
      f"(here {_MAX_TOKENS}), --endpoint-model, --cache ...\n\n"
      "example:\n  ramjax eval gsm8k --data=test.jsonl --shots=train.jsonl"
      " --num-shots=8 \\\n      --model=runs/mine --out=evals/gsm8k"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--data",
    required=True,
    type=pathlib.Path,
    metavar="FILE",
    help="the official test.jsonl: records with question and answer",
  )
  parser.add_argument(
    "--shots",
    type=pathlib.Path,
    metavar="FILE",
    help="examples, shown as earlier turns: the official train.jsonl",
  )
  parser.add_argument(
    "--num-shots",
    type=option_types.positive_int,
    metavar="NUM",
    help="how many of them: the first ones",
  )
  eval_answers.add_options(parser)
  return parser
