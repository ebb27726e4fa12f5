# SPDX-License-Identifier: Apache-2.0
"""A model whose log-probabilities a benchmark reads: its options, its scores."""

import argparse
import contextlib
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import tqdm

from ramjax.evals.continuations import (
  ContinuationLogp,
  TokenPair,
  continuation_logps,
)
from ramjax.models import open_model
from ramjax.models.config import DTYPES
from ramjax.tools import convert_options, loaded_model
from ramjax.tools.loaded_model import LoadedModel

RECORDS_FILE = "records.jsonl"
_BATCH_SIZE = 16
# Texts are scored as they stand. Naming a template spares the search for the
# model's own.
_NO_TEMPLATE = "plain"


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the model, how it is run, and where figures go."""
  parser.add_argument(
    "--model",
    metavar="FOLDER",
    type=pathlib.Path,
    required=True,
    help="a run's folder or a Hugging Face one, with its tokenizer",
  )
  parser.add_argument(
    "--dtype",
    choices=DTYPES,
    help="to compute in (default: as trained, or as the weights are stored)",
  )
  convert_options.add_checkpoint(parser)
  parser.add_argument(
    "--batch-size",
    type=positive,
    default=_BATCH_SIZE,
    metavar="N",
    help="texts that are scored at a time (default: %(default)s)",
  )
  parser.add_argument(
    "--max-length",
    type=positive,
    metavar="N",
    help="tokens the model reads at a time (default: the longest it is for)",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write evaluation.json and {RECORDS_FILE} there",
  )


def positive(text: str) -> int:
  """An option's number, at least 1."""
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError(f"{text} must be at least 1")
  return value


def load(args: argparse.Namespace) -> LoadedModel:
  """Loads the model of `add_options`; minutes where it is large.

  Raises:
    ValueError, OSError: What `loaded_model.load` raises, or a --max-length of
      more positions than the model is for.
  """
  with contextlib.closing(
    open_model.open_model(args.model, step=args.step, average=args.average)
  ) as source:
    positions = source.config.max_positions
  if (args.max_length or 0) > positions:
    raise ValueError(
      f"--max-length={args.max_length}: {args.model} is for {positions}"
      " positions at most."
    )
  return loaded_model.load(
    args.model,
    step=args.step,
    average=args.average,
    template=_NO_TEMPLATE,
    dtype=args.dtype,
  )


def max_length(args: argparse.Namespace, model: LoadedModel) -> int:
  """Tokens the model reads at a time."""
  return args.max_length or model.config.max_positions


def score(
  args: argparse.Namespace, model: LoadedModel, pairs: Sequence[TokenPair]
) -> list[ContinuationLogp]:
  """Scores pairs on all devices; says how far it is on a terminal."""
  with (
    jax.set_mesh(model.mesh),
    tqdm.tqdm(
      total=len(pairs),
      unit="text",
      dynamic_ncols=True,
      disable=not sys.stderr.isatty(),
    ) as bar,
  ):
    return continuation_logps(
      model.params,
      model.config,
      pairs,
      batch_size=args.batch_size,
      max_length=max_length(args, model),
      progress=bar.update,
    )


def write_records(
  folder: pathlib.Path, records: Sequence[Mapping[str, Any]]
) -> None:
  """Writes what was scored, one JSON object a line."""
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / RECORDS_FILE).open("w", encoding="utf-8") as file:
    for record in records:
      line = json.dumps(record, ensure_ascii=False, allow_nan=False)
      file.write(line + "\n")
