# SPDX-License-Identifier: Apache-2.0
"""`ramjax generate`: answers to the prompts of a file, row by row."""

import argparse
import contextlib
import json
import math
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.data import load, parse_prompts
from ramjax.data.rows import Message
from ramjax.evals import sample_seeds
from ramjax.evals.answer_cache import CachedEngine
from ramjax.evals.engine import ChatRequest, Completion, Engine
from ramjax.evals.http_engine import HttpEngine
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import generate_options
from ramjax.tools.generate_progress import GenerateProgress, say
from ramjax.tools.local_model import LocalModel, open_local
from ramjax.tools.resumed_rows import ResumedRows

RESPONSES = "responses"
# A chunk has this many answers for each that is computed at a time: rows that
# end early make room until the last of it, and a kill costs no more than that.
_ROUNDS = 4


class _Prompts(NamedTuple):
  """What is answered.

  Attributes:
    records: The input, record by record.
    messages: The prompt in each.
    digest: SHA-256 of the source.
  """

  records: Sequence[Mapping[str, Any]]
  messages: Sequence[tuple[Message, ...]]
  digest: str


def main(argv: Sequence[str]) -> int:
  """Writes a row with answers for each prompt, or those that are missing.

  Args:
    argv: The arguments behind `ramjax generate`.

  Returns:
    The exit status: 0, or 1 for an error; wrong arguments exit with 2.
  """
  args = generate_options.parse(argv)
  try:
    _generate(args)
  except (ValueError, OSError) as error:
    print(f"ramjax generate: {error}", file=sys.stderr)
    return 1
  return 0


def _generate(args: argparse.Namespace) -> None:
  options = SamplingOptions(
    repetition_penalty=args.repetition_penalty,
    temperature=args.temperature,
    top_k=args.top_k,
    top_p=args.top_p,
    min_p=args.min_p,
    max_tokens=args.max_tokens,
  )
  sample_seeds.sample_seed(args.seed, 0, 0)  # Refuses one out of range.
  _check_output(args.output, args.prompts)
  prompts = _load_prompts(args.prompts, args.limit)
  command: dict[str, Any] = {
    "prompts": {"sha256": prompts.digest, "num": len(prompts.records)},
    "options": {
      "samples": args.samples,
      "temperature": args.temperature,
      "top_p": args.top_p,
      "top_k": args.top_k,
      "min_p": args.min_p,
      "repetition_penalty": args.repetition_penalty,
      "max_tokens": args.max_tokens,
      "stop": args.stop,
      "seed": args.seed,
    },
  }
  with _answerer(args) as answerer:
    if isinstance(answerer, LocalModel):
      answerer.check_room(prompts.messages, max_tokens=args.max_tokens)
      at_a_time = args.slots
      command["model"] = answerer.identity()
      # What is computed together may differ in a last bit.
      command["options"] |= {"slots": args.slots, "dtype": args.dtype}
    else:
      at_a_time = args.concurrency
      command["model"] = {
        "endpoint": answerer.url,
        "name": answerer.model,
        # Decides whether answers come with log-probabilities.
        "logprobs": not args.no_logprobs,
      }
    chunk = max(1, _ROUNDS * at_a_time // args.samples)
    with ResumedRows(
      args.output,
      command,
      chunk=chunk,
      total=len(prompts.records),
      force=args.force,
    ) as rows:
      if rows.num_rows < len(prompts.records):
        with _engine(answerer, args, command["model"]) as engine:
          _answer(engine, args, options, prompts, rows, chunk)
  print(f"{args.output}: {len(prompts.records)} rows")


def _answer(
  engine: Engine,
  args: argparse.Namespace,
  options: SamplingOptions,
  prompts: _Prompts,
  rows: ResumedRows,
  chunk: int,
) -> None:
  """Chunk by chunk, from the first row that is not there."""
  total = len(prompts.records)
  with GenerateProgress(total, rows.num_rows, args.samples) as progress:
    for start in range(rows.num_rows, total, chunk):
      indices = range(start, min(start + chunk, total))
      completions = engine.complete(
        [
          ChatRequest(
            messages=prompts.messages[row],
            options=options,
            stop=tuple(args.stop),
            seed=sample_seeds.sample_seed(args.seed, row, sample),
          )
          for row in indices
          for sample in range(args.samples)
        ],
        progress=progress.tell,
      )
      grouped = iter(completions)
      rows.append(
        [
          {
            **prompts.records[row],
            RESPONSES: [
              _response(next(grouped), row) for _ in range(args.samples)
            ],
          }
          for row in indices
        ]
      )
      progress.rows_written(rows.num_rows)


def _response(completion: Completion, row: int) -> dict[str, Any]:
  logp = None
  if completion.logps is not None:
    logp = float(np.sum(completion.logps, dtype=np.float64))
    if not math.isfinite(logp):
      raise ValueError(
        f"an answer to prompt {row + 1} has log-probability {logp}: the weights"
        " are damaged."
      )
  return {
    "text": completion.text,
    "finished": completion.finished,
    "num_tokens": completion.num_tokens,
    "logp": logp,
  }


@contextlib.contextmanager
def _answerer(args: argparse.Namespace) -> Iterator[LocalModel | HttpEngine]:
  """Who answers, opened and checked; no weights are read yet."""
  if args.endpoint:
    yield HttpEngine(
      args.endpoint,
      args.endpoint_model,
      api_key_env=args.api_key_env or "",
      concurrency=args.concurrency,
      timeout_s=args.timeout,
      logprobs=not args.no_logprobs,
      say=say,
    )
    return
  model = open_local(
    args.model,
    step=args.step,
    average=args.average,
    template=args.template or "",
  )
  try:
    yield model
  finally:
    model.source.close()


def _engine(
  answerer: LocalModel | HttpEngine,
  args: argparse.Namespace,
  identity: Mapping[str, Any],
) -> contextlib.AbstractContextManager[Engine]:
  if isinstance(answerer, LocalModel):
    return answerer.engine(num_slots=args.slots, dtype=args.dtype)
  if args.cache is not None:
    return contextlib.nullcontext(CachedEngine(answerer, args.cache, identity))
  return contextlib.nullcontext(answerer)


def _check_output(output: pathlib.Path, prompts: str) -> None:
  if not output.parent.is_dir():
    raise FileNotFoundError(
      f"--output={output}: the folder {output.parent} does not exist. Create it"
      " first."
    )
  if (
    output.exists()
    and os.path.exists(prompts)
    and os.path.samefile(output, prompts)
  ):
    raise ValueError(
      f"--output={output} is the file of the prompts: give another."
    )


def _load_prompts(source: str, limit: int | None) -> _Prompts:
  if re.fullmatch(r"tasks:[0-9]+", source):
    source += "?seed=0"
  loaded = load.load_rows(source, parse=parse_prompts.parse_prompt_row)
  records = loaded.records[:limit]
  for number, record in enumerate(records, 1):
    if RESPONSES in record:
      raise ValueError(
        f"--prompts={source}: record {number} has {RESPONSES!r} already: rename"
        " that key, or give the file without answers."
      )
    try:
      json.dumps(record, allow_nan=False)
    except (TypeError, ValueError) as error:  # Parquet holds more than JSON.
      raise ValueError(
        f"--prompts={source}: record {number} cannot be written as JSON"
        f" ({error}): leave that column out."
      ) from error
  return _Prompts(
    records,
    [
      (Message("user", row.prompt),)
      if isinstance(row.prompt, str)
      else row.prompt
      for row in loaded.rows[:limit]
    ],
    loaded.fingerprint,
  )
