# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval ifeval`: how many instructions a model follows to the letter."""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data.wilson import wilson_interval
from ramjax.evals import (
  ifeval_accuracy,
  ifeval_instructions,
  ifeval_verdicts,
  replaced_file,
)
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import eval_answers, eval_result

_BENCHMARK = "ifeval"
# As the authors' runs: room for the longest answers that are asked for.
_MAX_TOKENS = 1280
_RESPONSES_FILE = "responses.jsonl"


def main(argv: Sequence[str]) -> int:
  """Writes the accuracies with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval ifeval`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  args, more = parse(argv)
  eval_answers.prepare(
    args, benchmark=_BENCHMARK, files=[_RESPONSES_FILE], inputs=[args.data]
  )
  found = eval_answers.answers(args, more, args.data, max_tokens=_MAX_TOKENS)
  evaluation = dataclasses.replace(
    evaluate(found.records, found.responses, model=args.model),
    notes=found.notes,
  )
  written = []
  if args.out is not None:
    written.append(args.out / _RESPONSES_FILE)
    _write_responses(written[0], found.records, found.responses)
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=[args.data, found.file],
    command=["ramjax", "eval", "ifeval", *argv],
    model_identity=found.model_identity,
    written_before=written,
  )
  return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """The options, and those that are for `ramjax generate`.

  Raises:
    ValueError, OSError: An option or a file that cannot be used, as far as that
      shows without the model.
  """
  args, more = make_parser().parse_known_args(argv)
  eval_answers.check(args, more)
  for number, record in enumerate(eval_answers.read(args.data), 1):
    if not isinstance(record.get("prompt"), str):
      raise ValueError(f"{args.data}: record {number} has no text 'prompt'.")
    try:
      ifeval_instructions.check_record(record)
    except ValueError as error:
      raise ValueError(f"{args.data}: record {number}: {error}") from error
  return args, more


def evaluate(
  records: Sequence[Mapping[str, Any]], responses: Sequence[str], *, model: str
) -> Evaluation:
  """The four accuracies in percent, with intervals, and by family.

  Args:
    records: IFEval's.
    responses: One for each.
    model: What answered.

  Returns:
    The evaluation. Intervals of instructions are left out: those of one prompt
    are not independent.
  """
  shares = ifeval_accuracy.ifeval_accuracy(records, responses)
  figures: dict[str, Value] = {"prompts": len(records)}
  families: dict[str, dict[str, Value]] = {}
  for mode in ifeval_verdicts.MODES:
    share = shares[f"ifeval_prompt_{mode}"]
    low, high = wilson_interval(share * len(records), len(records))
    figures[f"prompt_{mode}, %"] = 100 * share
    figures[f"prompt_{mode}, 95 % from"] = 100 * low
    figures[f"prompt_{mode}, 95 % to"] = 100 * high
    key = f"ifeval_instruction_{mode}"
    figures[f"instruction_{mode}, %"] = 100 * shares[key]
    for name, value in shares.items():
      if name.startswith(key + "/"):
        family = name.removeprefix(key + "/")
        row = families.setdefault(family, {"family": family})
        row[f"{mode}, %"] = 100 * value
  return Evaluation(
    benchmark=_BENCHMARK,
    model=model,
    figures=figures,
    tables={"by family of instructions": list(families.values())},
    counted={
      "answers are empty": sum(not response.strip() for response in responses)
    },
  )


def _write_responses(
  path: pathlib.Path,
  records: Sequence[Mapping[str, Any]],
  responses: Sequence[str],
) -> None:
  """As the authors' tool reads them."""
  rows = (
    {"prompt": record["prompt"], "response": response}
    for record, response in zip(records, responses, strict=True)
  )
  replaced_file.replace_file(
    path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
  )


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval ifeval",
    description=(
      "Answer IFEval's prompts (arXiv 2311.07911) greedily and check by program"
      " which instructions\nthe answers follow: strictly, and loosely (without"
      " asterisks, first or last line). A prompt\ncounts if all of its"
      " instructions are followed."
    ),
    epilog=(
      "All other options are those of `ramjax generate`: --template, --slots,"
      " --max-tokens\n"
      f"(here {_MAX_TOKENS}), --endpoint-model, --cache ...\n\n"
      "example:\n  ramjax eval ifeval --data=input_data.jsonl"
      " --model=runs/mine --out=evals/ifeval"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--data",
    required=True,
    type=pathlib.Path,
    metavar="FILE",
    help="the official input_data.jsonl: records with prompt,"
    " instruction_id_list and kwargs",
  )
  eval_answers.add_options(parser)
  return parser
