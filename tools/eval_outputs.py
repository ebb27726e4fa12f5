# SPDX-License-Identifier: Apache-2.0
"""A model's answers to instructions: from a file of outputs, or made now."""

import argparse
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ramjax.data.rows import Message
from ramjax.evals import alpaca_files
from ramjax.evals.engine import ChatRequest
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import eval_result, eval_sides
from ramjax.tools.eval_sides import Side
from ramjax.tools.generate_progress import GenerateProgress

FILE = "model_outputs.json"
# AlpacaEval's own models are given this many tokens or more.
_MAX_TOKENS = 2048
_CACHE = "answers"


class Outputs(NamedTuple):
  """A file of outputs.

  Attributes:
    path: Where it is.
    identity: What tells the model from others; None where it was not asked.
  """

  path: pathlib.Path
  identity: dict[str, Any] | None


def add_options(
  parser: argparse.ArgumentParser, *, required: bool = True
) -> None:
  """Adds `--model` and, for one that has to answer, its options."""
  parser.add_argument(
    "--model",
    required=required,
    metavar="FILE|FOLDER|URL",
    help="the model's answers, a model_outputs.json; or a run's folder, a"
    " Hugging Face one or an endpoint, which answers greedily first",
  )
  eval_sides.add_options(parser, "model", most=_MAX_TOKENS)


def files(args: argparse.Namespace) -> list[str]:
  """Names of what `get` writes, besides the answers it keeps."""
  return [] if _is_file(args) else [FILE]


def inputs(args: argparse.Namespace) -> list[pathlib.Path]:
  """The files that `get` reads."""
  return [pathlib.Path(args.model)] if _is_file(args) else []


def name(args: argparse.Namespace) -> str | None:
  """Who answers, where that is a folder or an endpoint.

  Raises:
    ValueError: A --model that is neither that nor a file, or options that do
      not go with it.
  """
  if _is_file(args):
    if given := eval_sides.given(args, "model"):
      raise ValueError(
        f"{', '.join(given)}: --model={args.model} is a file, whose answers are"
        " there already. Leave them out."
      )
    return None
  return eval_sides.name(args, "model")


def get(
  args: argparse.Namespace,
  instructions: Sequence[str],
  folder: pathlib.Path | None,
  prepare: Callable[[str], None],
) -> Outputs:
  """The file of outputs; where there is none yet, the model is asked.

  What was answered is kept below the folder, and not asked again.

  Args:
    args: Of `add_options`.
    instructions: What a model is asked.
    folder: Of --out.
    prepare: Called with a model's name before it is asked, to make and check
      the folder.

  Raises:
    ValueError, OSError: A model that cannot be used, no folder, or an
      instruction that leaves no room for an answer.
  """
  model = name(args)
  if model is None:
    return Outputs(pathlib.Path(args.model), None)
  if folder is None:
    raise ValueError(
      "--out=DIR is missing: the folder where the answers go, so that an"
      " evaluation that was stopped can be continued."
    )
  with eval_sides.opened(args, "model", most=_MAX_TOKENS) as side:
    prepare(model)
    requests = [_request(side, text) for text in instructions]
    answers = _answers(side, requests, folder / _CACHE)
    path = folder / FILE
    eval_result.refuse_inputs([path], inputs(args))
    alpaca_files.write_objects(
      path,
      [
        {"instruction": text, "output": answer, "generator": side.name}
        for text, answer in zip(instructions, answers, strict=True)
      ],
    )
    return Outputs(path, dict(side.identity))


def _is_file(args: argparse.Namespace) -> bool:
  if eval_sides.is_url(args.model):
    return False
  return not pathlib.Path(args.model).is_dir()


def _request(side: Side, instruction: str) -> ChatRequest:
  messages = (Message("user", instruction),)
  options = SamplingOptions(temperature=0.0, max_tokens=side.room(messages))
  return ChatRequest(messages, options)


def _answers(
  side: Side, requests: Sequence[ChatRequest], folder: pathlib.Path
) -> list[str]:
  texts: list[str] = []
  with (
    side.engine(folder) as engine,
    GenerateProgress(len(requests), 0, 1) as progress,
  ):
    for start in range(0, len(requests), side.chunk):
      part = requests[start : start + side.chunk]
      found = engine.complete(part, progress=progress.tell)
      texts += [completion.text for completion in found]
      progress.rows_written(len(texts))
  return texts
