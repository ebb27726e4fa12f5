# SPDX-License-Identifier: Apache-2.0
"""A model whose log-probabilities a benchmark reads: its options, its scores."""

import argparse
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import tqdm

from ramjax.evals import record_file
from ramjax.evals.continuations import (
  ContinuationLogp,
  TokenPair,
  continuation_logps,
)
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.padded_rows import MOST_TOKENS
from ramjax.models import open_model
from ramjax.models.hf_folder import HFFolder
from ramjax.tools import (
  eval_result,
  loaded_model,
  option_types,
)
from ramjax.tools.loaded_model import LoadedModel

RECORDS_FILE = "records.jsonl"
_BATCH_SIZE = 16
# How the runtime's error for that begins.
_NO_MEMORY = "RESOURCE_EXHAUSTED"
# Where texts are scored as they stand: naming a template spares the search for
# the model's own.
NO_TEMPLATE = "plain"


@dataclasses.dataclass(frozen=True)
class ScoringModel:
  """A model that is loaded, and what tells it from others.

  Attributes:
    loaded: The model.
    identity: For `evaluation.json`.
  """

  loaded: LoadedModel
  identity: Mapping[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the model, how it is run, and where figures go."""
  add_model_options(parser)
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE} and {RECORDS_FILE} there, at the end: a run"
    " that was stopped starts over",
  )


def add_model_options(parser: argparse.ArgumentParser) -> None:
  """Adds the model and how it is run."""
  loaded_model.add_weights_options(parser)
  parser.add_argument(
    "--batch-size",
    type=option_types.positive_int,
    default=_BATCH_SIZE,
    metavar="N",
    help="texts that are scored at a time, at most (default: %(default)s);"
    f" fewer where padded they would be more than {MOST_TOKENS:,} tokens",
  )
  parser.add_argument(
    "--max-length",
    type=option_types.positive_int,
    metavar="N",
    help="tokens the model reads at a time (default: the longest it is for)",
  )


def prepare(
  args: argparse.Namespace, *, benchmark: str, inputs: Sequence[pathlib.Path]
) -> None:
  """Makes --out, where it is given, and refuses what cannot be written there.

  Raises:
    ValueError, OSError: See `eval_result.prepare`.
  """
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=benchmark,
      model=str(args.model),
      files=[RECORDS_FILE],
      inputs=inputs,
    )


def load(args: argparse.Namespace) -> ScoringModel:
  """Loads the model of `add_options`; minutes where it is large.

  Raises:
    ValueError, OSError: What `loaded_model.load` raises, or a --max-length of
      more positions than the model is for.
  """
  with contextlib.closing(
    open_model.open_model(args.model, step=args.step, average=args.average)
  ) as source:
    positions = source.config.max_positions
    # Of a run the newest now, and not one that is written meanwhile.
    step = None if isinstance(source, HFFolder) else source.step
  check_max_length(args.max_length, args.model, positions)
  loaded = loaded_model.load(
    args.model,
    step=step,
    average=args.average,
    template=NO_TEMPLATE,
    dtype=args.dtype,
  )
  identity = {
    "fingerprint": loaded.fingerprint,
    "tokenizer": loaded.tokenizer.digest,
    "template": None,  # None is applied.
    "step": step,
    "average": args.average,
    "dtype": loaded.config.dtype,
  }
  return ScoringModel(loaded, identity)


def check_max_length(
  max_length: int | None, folder: pathlib.Path, positions: int
) -> None:
  """Refuses a --max-length of more positions than a model is for.

  Raises:
    ValueError: It has.
  """
  if (max_length or 0) > positions:
    raise ValueError(
      f"--max-length={max_length}: {folder} is for {positions} positions at"
      " most."
    )


def max_length(args: argparse.Namespace, model: LoadedModel) -> int:
  """Tokens the model reads at a time."""
  return args.max_length or model.config.max_positions


def score(
  args: argparse.Namespace, model: LoadedModel, pairs: Sequence[TokenPair]
) -> list[ContinuationLogp]:
  """Scores pairs on all devices; says how far it is on a terminal.

  Raises:
    ValueError: What `continuation_logps` raises, or too little memory.
  """
  with (
    memory_named(),
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


@contextlib.contextmanager
def memory_named() -> Iterator[None]:
  """Says what to do where a batch has no room.

  Raises:
    ValueError: It has none.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if _NO_MEMORY not in str(error):
      raise
    raise ValueError(
      "the device has too little memory for a batch: lower --batch-size or"
      f" --max-length ({str(error).splitlines()[0][:200]})."
    ) from error


def conclude(
  evaluation: Evaluation,
  records: Iterable[Mapping[str, Any]],
  args: argparse.Namespace,
  model: ScoringModel,
  *,
  inputs: Sequence[pathlib.Path],
  command: Sequence[str],
) -> None:
  """Writes what was scored and the evaluation, where --out is given; prints it.

  Args:
    evaluation: What a benchmark came to.
    records: What was scored: one JSON object a line.
    args: Of `add_options`.
    model: What scored it.
    inputs: Files that it was made from.
    command: The words that make it again.
  """
  written = []
  if args.out is not None:
    path = args.out / RECORDS_FILE
    written.append(record_file.write_records(path, records))
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=inputs,
    command=command,
    model_identity=model.identity,
    written_before=written,
  )
