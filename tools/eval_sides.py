# SPDX-License-Identifier: Apache-2.0
"""The sides of a benchmark, who answers and who judges: options and engines.

Either is a model's folder or an endpoint. What one was asked once stands in a
folder of answers, and is not asked again.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from ramjax.data import templates
from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.evals.answer_cache import CachedEngine
from ramjax.evals.engine import ChatRequest, Completion, Engine
from ramjax.evals.http_engine import HttpEngine
from ramjax.models.config import DTYPES
from ramjax.tools import option_types
from ramjax.tools.generate_progress import say
from ramjax.tools.local_model import LocalModel, open_local

Name = Literal["model", "judge"]

_LOCAL = ("template", "step", "average", "dtype", "slots")
_ENDPOINT = ("key_env", "concurrency", "timeout")
# A kill costs a local model one chunk of as many answers: fewer than those of
# `ramjax generate`, because there are only some dozens.
_SLOTS = 16
_CONCURRENCY = 16
# An endpoint's answers are kept as they arrive: a kill costs none of a chunk.
_ROUNDS = 4
_TIMEOUT_S = 600.0


@dataclasses.dataclass(frozen=True)
class Side:
  """Who answers or judges; opened and checked, but no weights are read.

  Attributes:
    name: What the files call it.
    identity: What tells it from others, of JSON's types.
    chunk: Answers that are asked for together.
    most: The most tokens of one answer.
    limits: The option that sets this, for errors.
    answerer: The model or endpoint.
    dtype: See `loaded_model.load`.
  """

  name: str
  identity: Mapping[str, Any]
  chunk: int
  most: int
  limits: str
  answerer: LocalModel | HttpEngine
  dtype: str | None

  def room(self, messages: Sequence[Message], *, more: int = 0) -> int:
    """Tokens of an answer to a conversation: those that fit, up to `most`.

    Args:
      messages: The conversation; what an endpoint has room for is unknown.
      more: Tokens that will be in it, besides.

    Raises:
      ValueError: None do.
    """
    if isinstance(self.answerer, HttpEngine):
      return self.most
    positions = self.answerer.source.config.max_positions
    prompt = tokenize_prompt(
      messages,
      template=self.answerer.template,
      tokenizer=self.answerer.tokenizer,
    )
    length = len(prompt) + more
    if length >= positions:
      remedy = "take a model for more"
      if more:
        remedy += f", or ask for shorter answers ({self.limits})"
      raise ValueError(
        f"{self.name!r} is for {positions} positions, and a conversation that"
        f" ends in {messages[-1].content[-40:]!r} takes up to {length}, so that"
        f" there is no room for an answer: {remedy}."
      )
    return min(self.most, positions - length)

  def fits(self, request: ChatRequest) -> bool:
    """Whether there is room for a request; of an endpoint that is unknown."""
    if isinstance(self.answerer, HttpEngine):
      return True
    prompt = tokenize_prompt(
      request.messages,
      template=self.answerer.template,
      tokenizer=self.answerer.tokenizer,
    )
    positions = self.answerer.source.config.max_positions
    return len(prompt) + request.options.max_tokens <= positions

  @contextlib.contextmanager
  def engine(
    self,
    cache: pathlib.Path,
    on_failure: Callable[[Exception], Completion] | None = None,
  ) -> Iterator[Engine]:
    """Loads a local model, which may take minutes.

    Args:
      cache: Folder where answers are kept as they arrive.
      on_failure: See `CachedEngine`.
    """
    if isinstance(self.answerer, HttpEngine):
      yield CachedEngine(
        self.answerer, cache, self.identity, on_failure=on_failure
      )
      return
    loading = self.answerer.engine(num_slots=self.chunk, dtype=self.dtype)
    with loading as engine:
      yield CachedEngine(engine, cache, self.identity)


def is_url(text: str) -> bool:
  """Whether a model is named by an endpoint's address."""
  return text.startswith(("http://", "https://"))


class Tally:
  """An engine that counts what it is asked and answers.

  Attributes:
    num_requests: Answers so far, of an earlier run as well.
    num_prompt_tokens: Tokens of their conversations, as far as that is told.
    num_tokens: Tokens of the answers.
    num_cut_off: Answers that ended at the most tokens.
  """

  def __init__(self, engine: Engine):
    """Nothing is asked yet."""
    self._engine = engine
    self.num_requests = 0
    self.num_prompt_tokens = 0
    self.num_tokens = 0
    self.num_cut_off = 0

  def complete(
    self,
    requests: Sequence[ChatRequest],
    *,
    progress: Callable[[int], None] | None = None,
  ) -> list[Completion]:
    """See `engine.Engine`."""
    answers = self._engine.complete(requests, progress=progress)
    self.num_requests += len(answers)
    self.num_prompt_tokens += sum(x.num_prompt_tokens or 0 for x in answers)
    self.num_tokens += sum(x.num_tokens for x in answers)
    self.num_cut_off += sum(not x.finished for x in answers)
    return answers


def is_set(value: object) -> bool:
  """Whether an option was given; 0 is a value."""
  return value is not None and value is not False


def add_options(
  parser: argparse.ArgumentParser, side: Name, *, most: int
) -> None:
  """Adds `--SIDE-...`, all but `--SIDE` itself.

  Args:
    parser: Gets a group of options.
    side: Whose they are.
    most: Default of the most tokens of an answer.
  """
  group = parser.add_argument_group(f"of a --{side} that is a FOLDER or URL")

  def add(name: str, **options: Any) -> None:
    group.add_argument(f"--{side}-{name}", **options)

  add(
    "name",
    metavar="NAME",
    help="what the files call it, and an endpoint its model: needed with a URL"
    " (default: the folder's name)",
  )
  add(
    "max-tokens",
    type=option_types.positive_int,
    metavar="NUM",
    help=f"of one answer (default: {most:,}, the benchmark's)",
  )
  add(
    "template",
    choices=templates.TEMPLATE_NAMES,
    metavar="NAME",
    help="FOLDER: chat template (default: the one a run was trained with, or"
    " that spells like the folder's own)",
  )
  add(
    "step",
    type=int,
    metavar="NUM",
    help="FOLDER: checkpoint of a run (default: the newest)",
  )
  add(
    "average",
    action="store_true",
    help="FOLDER: the moving average of the weights",
  )
  add("dtype", choices=DTYPES, help="FOLDER: to compute in")
  add(
    "slots",
    type=option_types.positive_int,
    metavar="NUM",
    help="FOLDER: answers at a time, and what a kill costs at most (default:"
    f" {_SLOTS})",
  )
  add(
    "key-env",
    metavar="VARIABLE",
    help="URL: environment variable that holds the API key (default: no key)",
  )
  add(
    "concurrency",
    type=option_types.positive_int,
    metavar="NUM",
    help=f"URL: requests under way at a time (default: {_CONCURRENCY})",
  )
  add(
    "timeout",
    type=option_types.positive_float,
    metavar="SECONDS",
    help=f"URL: for one answer (default: {_TIMEOUT_S:g})",
  )


def given(args: argparse.Namespace, side: Name) -> list[str]:
  """The options of a side that are set, all but `--SIDE` itself."""
  names = ("name", "max_tokens", *_LOCAL, *_ENDPOINT)
  return [
    option_name(f"{side}_{name}")
    for name in names
    if is_set(getattr(args, f"{side}_{name}"))
  ]


def check(args: argparse.Namespace, side: Name) -> None:
  """Refuses options of a side that do not go together.

  Args:
    args: Of `add_options`; `args.SIDE` is a folder or URL.
    side: Which.

  Raises:
    ValueError: An option of the other kind, or a name that cannot be.
  """
  source = getattr(args, side)
  url = is_url(source)
  for each in _LOCAL if url else _ENDPOINT:
    if is_set(getattr(args, f"{side}_{each}")):
      raise ValueError(
        f"{option_name(f'{side}_{each}')} is for a {'FOLDER' if url else 'URL'}, and"
        f" --{side}={source} is none: leave it out."
      )
  name(args, side)


@contextlib.contextmanager
def opened(
  args: argparse.Namespace, side: Name, *, most: int
) -> Iterator[Side]:
  """Opens a side.

  Args:
    args: Of `add_options`; `args.SIDE` is a folder or URL.
    side: Which.
    most: The most tokens of an answer where the options do not say it.

  Raises:
    ValueError: Options that do not go together, or a folder or address that
      cannot be used.
    OSError: There is no model.
  """
  check(args, side)
  source = getattr(args, side)
  url = is_url(source)
  option = {
    name: getattr(args, f"{side}_{name}")
    for name in ("name", "max_tokens", *_LOCAL, *_ENDPOINT)
  }
  limits = option_name(f"{side}_max_tokens")
  name = _name(side, source, option["name"])
  if url:
    http = HttpEngine(
      source,
      name,
      api_key_env=option["key_env"] or "",
      concurrency=option["concurrency"] or _CONCURRENCY,
      timeout_s=option["timeout"] or _TIMEOUT_S,
      logprobs=False,
      say=say,
    )
    yield Side(
      name=name,
      identity={"endpoint": http.url, "name": name, "logprobs": False},
      chunk=_ROUNDS * (option["concurrency"] or _CONCURRENCY),
      most=option["max_tokens"] or most,
      limits=limits,
      answerer=http,
      dtype=None,
    )
    return
  try:
    local = open_local(
      pathlib.Path(source),
      step=option["step"],
      average=option["average"],
      template=option["template"] or "",
    )
  except ValueError as error:
    # What opens models for all commands says --template and --step.
    text = re.sub(r"--(template|step)\b", rf"--{side}-\1", str(error))
    raise ValueError(text) from error
  slots = option["slots"] or _SLOTS
  with contextlib.closing(local.source):
    yield Side(
      name=name,
      # What is computed together may differ in a last bit.
      identity={**local.identity(), "dtype": option["dtype"], "slots": slots},
      chunk=slots,
      most=option["max_tokens"] or most,
      limits=limits,
      answerer=local,
      dtype=option["dtype"],
    )


def name(args: argparse.Namespace, side: Name) -> str:
  """What the files call a side.

  Args:
    args: Of `add_options`; `args.SIDE` is a folder or URL.
    side: Which.

  Raises:
    ValueError: An endpoint without a name, or one that cannot be shown.
  """
  return _name(side, getattr(args, side), getattr(args, f"{side}_name"))


def _name(side: Name, source: str, name: str | None) -> str:
  if name is None and is_url(source):
    raise ValueError(
      f"--{side}={source} needs --{side}-name, the server's name of its model."
    )
  name = name or pathlib.Path(source).resolve().name
  if not name or not name.isprintable():
    raise ValueError(
      f"--{side}-name={name!r} must be a name of printable characters."
    )
  return name


def option_name(name: str) -> str:
  """What a user calls the option that is parsed under a name."""
  return f"--{name.replace('_', '-')}"
