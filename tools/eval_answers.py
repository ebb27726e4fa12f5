# SPDX-License-Identifier: Apache-2.0
"""Answers for a benchmark: from `ramjax generate`, made now or earlier."""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data.read import read_records
from ramjax.data.strict_json import RecordError
from ramjax.tools import generate

FILE = "answers.jsonl"


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


def answers(
  args: argparse.Namespace,
  more: Sequence[str],
  data: pathlib.Path,
  *,
  max_tokens: int,
) -> tuple[list[Mapping[str, Any]], list[str]]:
  """Records of a benchmark's file, and the answer to each.

  Args:
    args: Of `add_options`.
    more: Options for `ramjax generate`, which come after those set here.
    data: The benchmark's file: its records are prompts.
    max_tokens: Of an answer, at most.

  Returns:
    The records, and the first response to each.

  Raises:
    ValueError: A file that cannot be used, or answers to other records.
  """
  records = read(data)
  path = pathlib.Path(args.model)
  if path.suffix == ".jsonl":
    if more:
      raise ValueError(
        f"{' '.join(more)} would change answers, and --model={path} has them"
        " already: leave it out."
      )
    return records, _responses(path, records)
  if args.out is None:
    raise ValueError(
      "--out=DIR is missing: the folder where the answers go, so that a stopped"
      " evaluation can be continued."
    )
  args.out.mkdir(parents=True, exist_ok=True)
  path = args.out / FILE
  is_url = args.model.startswith(("http://", "https://"))
  who = "endpoint" if is_url else "model"
  status = generate.main(
    [
      f"--{who}={args.model}",
      f"--prompts={data}",
      f"--output={path}",
      "--temperature=0",
      f"--max-tokens={max_tokens}",
      *more,
    ]
  )
  if status:
    raise ValueError("no answers, so there is nothing to evaluate (see above).")
  return records, _responses(path, records)


def read(path: pathlib.Path) -> list[Mapping[str, Any]]:
  """The records of a file; any that is bad is an error.

  Raises:
    ValueError: A record that cannot be read or is no object, or none at all.
  """
  records = []
  for record in read_records(path):
    if isinstance(record.value, RecordError):
      raise ValueError(f"{record.where}: {record.value}")
    if not isinstance(record.value, dict):
      raise ValueError(f"{record.where} is no JSON object with named fields.")
    records.append(record.value)
  if not records:
    raise ValueError(f"{path} holds no records.")
  return records


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
