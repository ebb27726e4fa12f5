# SPDX-License-Identifier: Apache-2.0
"""Answers for a benchmark: from `ramjax generate`, made now or earlier."""

import argparse
import contextlib
import io
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.evals import bounded_records
from ramjax.models import model_folder, strict_json
from ramjax.tools import (
  eval_result,
  generate,
  generate_options,
  resumed_rows,
)

FILE = "answers.jsonl"
# Decide whose answers to what are scored, and where they are.
_FORCED = (
  "--output",
  "--prompts",
  "--limit",
  "--samples",
  "--model",
  "--endpoint",
)
_MAX_SIDE_BYTES = 2**20


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds who answers, and where answers and figures go."""
  parser.add_argument(
    "--model",
    required=True,
    metavar="MODEL",
    help="a run's folder, a Hugging Face one, the URL of an OpenAI-compatible"
    " endpoint (with --endpoint-model), or a .jsonl file that `ramjax generate`"
    " wrote",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help="where answers and figures go; needed unless --model is a file of"
    " answers. The same command again continues one that was stopped",
  )


class Answers(NamedTuple):
  """A benchmark's records and what a model answered.

  Attributes:
    records: Of the benchmark's file.
    responses: The first response to each.
    file: The file that they are in.
    notes: What a reader has to know of how they were made.
    model_identity: What `ramjax generate` wrote of the model and its options;
      None where the file came without.
  """

  records: list[Mapping[str, Any]]
  responses: list[str]
  file: pathlib.Path
  notes: list[str]
  model_identity: dict[str, Any] | None


def prepare(
  args: argparse.Namespace,
  *,
  benchmark: str,
  files: Sequence[str],
  inputs: Sequence[pathlib.Path],
) -> None:
  """Refuses a --model or --out of no use, before anything is computed.

  Args:
    args: Of `add_options`.
    benchmark: As the evaluation will have it.
    files: Names of what is written to --out besides answers and evaluation.
    inputs: Files that are read besides answers.

  Raises:
    ValueError, OSError: What `eval_result.prepare` raises, or a --model that is
      a file of another kind.
  """
  model = pathlib.Path(args.model)
  has_answers = _has_answers(args)
  if not has_answers and model.is_file():
    raise ValueError(
      f"--model={model} is a file, and answers must be a .jsonl that `ramjax"
      " generate` wrote: give that, or a model's folder."
    )
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=benchmark,
      model=args.model,
      files=[*files, *([] if has_answers else [FILE])],
      inputs=[*inputs, *([model] if has_answers else [])],
    )


def answers(
  args: argparse.Namespace,
  more: Sequence[str],
  data: pathlib.Path,
  *,
  max_tokens: int,
) -> Answers:
  """Records of a benchmark's file, and the answer to each.

  Args:
    args: Of `add_options`.
    more: Options for `ramjax generate`, which come after those set here.
    data: The benchmark's file: its records are prompts.
    max_tokens: Of an answer, at most.

  Raises:
    ValueError: A file that cannot be used, answers to other records, or an
      option that would have others answered, or answered elsewhere.
  """
  records = read(data)
  path = pathlib.Path(args.model)
  if _has_answers(args):
    if more:
      raise ValueError(
        f"{' '.join(more)} would change answers, and --model={path} has them"
        " already: leave it out."
      )
  else:
    if args.out is None:
      raise ValueError(
        "--out=DIR is missing: the folder where the answers go, so that a"
        " stopped evaluation can be continued."
      )
    path = args.out / FILE
    command = _command(args, more, data, path, max_tokens)
    args.out.mkdir(parents=True, exist_ok=True)
    # What is printed for people is for stderr: nobody may be reading stdout.
    with contextlib.redirect_stdout(sys.stderr):
      status = generate.main(command)
    if status:
      raise ValueError(
        "no answers, so there is nothing to evaluate (see above)."
      )
  identity = _identity(path)
  return Answers(
    records, _responses(path, records), path, _notes(identity), identity
  )


def check(args: argparse.Namespace, more: Sequence[str]) -> None:
  """Refuses options that `ramjax generate` would not take.

  Args:
    args: Of `add_options`.
    more: Options for `ramjax generate`.

  Raises:
    ValueError: Which, and why.
  """
  if not _has_answers(args):
    _command(args, more, pathlib.Path("data"), pathlib.Path(FILE), 1)


def _has_answers(args: argparse.Namespace) -> bool:
  return pathlib.Path(args.model).suffix == ".jsonl"


def _command(
  args: argparse.Namespace,
  more: Sequence[str],
  data: pathlib.Path,
  path: pathlib.Path,
  max_tokens: int,
) -> list[str]:
  """The options of `ramjax generate`, which it takes."""
  for word in more:
    name = word.partition("=")[0]
    if name in _FORCED:
      raise ValueError(
        f"{word} cannot be given: {', '.join(_FORCED)} are the evaluation's own,"
        " of --model, --data and --out."
      )
  is_url = args.model.startswith(("http://", "https://"))
  who = "endpoint" if is_url else "model"
  command = [
    f"--{who}={args.model}",
    f"--prompts={data}",
    f"--output={path}",
    "--temperature=0",
    f"--max-tokens={max_tokens}",
    *more,
  ]
  told = io.StringIO()
  try:
    with contextlib.redirect_stderr(told):
      generate_options.parse(command)
  except SystemExit:
    problem = told.getvalue().rpartition("error: ")[2].strip()
    raise ValueError(
      f"{problem} (among the options that go on to `ramjax generate`; --help"
      " names those of the evaluation)."
    ) from None
  return command


def _identity(path: pathlib.Path) -> dict[str, Any] | None:
  """What is beside a file of answers of the model that gave them."""
  side = path.with_name(path.name + resumed_rows.SIDE_SUFFIX)
  if not side.exists():
    return None
  data = model_folder.read_capped(side, max_bytes=_MAX_SIDE_BYTES)
  found = strict_json.parse_object(data, what=str(side))
  return {"model": found.get("model"), "options": found.get("options")}


def _notes(identity: Mapping[str, Any] | None) -> list[str]:
  options = {} if identity is None else identity["options"]
  temperature = options.get("temperature") if isinstance(options, dict) else 0
  if not temperature:
    return []
  return [
    f"WARNING: answers were sampled at temperature {temperature}, and not"
    " greedily: another run has other figures."
  ]


def read(path: pathlib.Path) -> list[Mapping[str, Any]]:
  """The records of a file; any that is bad is an error.

  Raises:
    ValueError: A record that cannot be read or is no object, or none at all.
  """
  what = "an object for each prompt"
  return [record for _, record in bounded_records.read_objects(path, what)]


def _responses(
  path: pathlib.Path, records: Sequence[Mapping[str, Any]]
) -> list[str]:
  rows = read(path)
  found = []
  for number, row in enumerate(rows, 1):
    responses = row.get(generate.RESPONSES)
    if (
      not isinstance(responses, list)
      or not responses
      or not isinstance(responses[0], dict)
      or not isinstance(responses[0].get("text"), str)
    ):
      raise ValueError(
        f"{path}: row {number} has no answer: it takes a file that `ramjax"
        " generate` wrote."
      )
    rest = {k: v for k, v in row.items() if k != generate.RESPONSES}
    if number <= len(records) and rest != records[number - 1]:
      raise ValueError(
        f"{path}: row {number} answers another record than that of the"
        " benchmark's file: give the file that these answers were made from."
      )
    found.append(responses[0]["text"])
  if len(found) != len(records):
    raise ValueError(
      f"{path} has {len(found)} rows and the benchmark's file {len(records)}:"
      " finish `ramjax generate` first (the same command again continues it)."
    )
  return found
