# SPDX-License-Identifier: Apache-2.0
"""A model of ours as the Language Model Evaluation Harness wants one.

Its rules are those of the harness's own Hugging Face model (`HFLM` of version
0.4.13), so that figures can be compared: a text begins with BOS where there is
one, and BOS itself is predicted in a rolling likelihood; what is too long loses
its left end; special tokens may stand in a text by name, as chat templates and
some tasks spell them. `ramjax eval harness` runs it, and so does

    lm_eval.simple_evaluate(model=harness_lm(...), tasks=[...])
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tqdm

from ramjax.data import jinja_templates, templates
from ramjax.data.rows import Message
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import (
  chat_text,
  harness_generation,
  pair_encoding,
  rolling_windows,
  sample_seeds,
)
from ramjax.evals.continuations import ContinuationLogp, TokenPair
from ramjax.evals.harness_end import TextEnd
from ramjax.evals.harness_generation import Generation
from ramjax.evals.spelled_specials import SpelledTokenizer
from ramjax.models import sampler

Score = Callable[[Sequence[TokenPair]], list[ContinuationLogp]]
Sample = Callable[[Sequence[sampler.Request]], list[sampler.Sample]]


class Request(Protocol):
  """What is read of the harness's `Instance`."""

  @property
  def args(self) -> tuple[Any, ...]:
    """(context, continuation), (text,) or (context, generation_kwargs)."""
    ...

  @property
  def task_name(self) -> str | None:
    """The task that asks."""
    ...


class HarnessModel:
  """Answers the three kinds of request that the harness makes.

  It is no class of the harness's, which may not be installed: see `harness_lm`.

  Attributes:
    num_truncated: Texts so far whose left end was cut off.
  """

  def __init__(
    self,
    tokenizer: Tokenizer,
    *,
    score: Score,
    sample: Sample,
    max_length: int,
    stop_tokens: Collection[int],
    template: str | None = None,
  ):
    """Cheap: a model may be loaded when it is first asked for something.

    Args:
      tokenizer: The model's.
      score: Scores pairs, in their order; see `continuations`.
      sample: Continues prompts, in their order; see `sampler.sample`.
      max_length: Tokens the model reads at a time.
      stop_tokens: Ids that end a generated text.
      template: Name of its chat template; None where none is to be applied.
    """
    super().__init__()
    self.num_truncated = 0
    self._tokenizer = tokenizer
    self._spelled = SpelledTokenizer(tokenizer)
    self._score = score
    self._sample = sample
    self._max_length = max_length
    self._stop_tokens = tuple(stop_tokens)
    self._template = template

  @property
  def max_length(self) -> int:
    """Tokens the model reads at a time."""
    return self._max_length

  @property
  def eot_token_id(self) -> int | None:
    """The id that ends a text."""
    return self._tokenizer.eos_id

  @property
  def tokenizer_name(self) -> str:
    """What tells tokenizer and chat template from others, for caches."""
    return f"{self._tokenizer.digest[:16]}-{self._template or 'none'}"

  def loglikelihood(
    self, requests: Sequence[Request]
  ) -> list[tuple[float, bool]]:
    """How likely continuations of contexts are.

    Args:
      requests: Their `args` are a context, which may be empty, and what
        follows it.

    Returns:
      For each the log-probability in nats, and whether greedy decoding would
      write that continuation.

    Raises:
      ValueError: A continuation that has no token of its own, or more than
        `max_length`.
    """
    pairs = [self._pair(*request.args) for request in _shown(requests)]
    return [(found.logp, found.is_greedy) for found in self._scored(pairs)]

  def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
    """How likely whole texts are, each token predicted once.

    Args:
      requests: Their `args` are a text.

    Returns:
      The log-probability of each, in nats.
    """
    pairs: list[TokenPair] = []
    ends = []
    for request in _shown(requests):
      (text,) = request.args
      pairs += rolling_windows.rolling_windows(
        self._spelled.encode_whole(text),
        prefix=pair_encoding.prefix_id(self._tokenizer),
        max_length=self._max_length,
      )
      ends.append(len(pairs))
    logps = [result.logp for result in self._score(pairs)]
    return [
      math.fsum(logps[start:end])
      for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]

  def generate_until(self, requests: Sequence[Request]) -> list[str]:
    """Continues contexts up to a text that ends them.

    Args:
      requests: Their `args` are a context and `generation_kwargs`; see
        `harness_generation`.

    Returns:
      What was written before the end; see `TextEnd`. The name of EOS is an
      end, too.

    Raises:
      ValueError: See `check_generation`.
    """
    asked, ends = [], []
    for index, request in enumerate(_shown(requests)):
      context, kwargs = request.args
      wanted = self.check_generation(request.task_name, kwargs)
      eos = self._spelled.name(self._tokenizer.eos_id)
      until = wanted.until + (() if eos is None else (eos,))
      ends.append(TextEnd(self._tokenizer, until))
      asked.append(self._asked(index, context, wanted, ends[-1]))
    samples = self._sample(asked)
    return [
      end.text(sample.tokens) for sample, end in zip(samples, ends, strict=True)
    ]

  def check_generation(
    self, task: str | None, kwargs: Mapping[str, Any]
  ) -> Generation:
    """Reads a task's `generation_kwargs`, and refuses what cannot be done.

    Args:
      task: Its name.
      kwargs: Of the task.

    Raises:
      ValueError: Options that are not known, or too many tokens asked for.
    """
    try:
      wanted = harness_generation.generation(kwargs)
    except ValueError as error:
      raise ValueError(f"task {task!r}: {error}") from None
    if wanted.options.max_tokens >= self._max_length:
      raise ValueError(
        f"task {task!r} asks for max_gen_toks={wanted.options.max_tokens}"
        f" tokens, and the model reads {self._max_length} at a time, a prompt"
        " among them: lower max_gen_toks in generation_kwargs of the task's"
        " file."
      )
    return wanted

  def apply_chat_template(
    self,
    chat_history: Sequence[dict[str, str]],
    add_generation_prompt: bool = True,
  ) -> str:
    """A conversation as one text.

    Args:
      chat_history: Turns with `role` and `content`.
      add_generation_prompt: Whether it ends with the header of an answer to
        come; otherwise an answer that is begun is left open at its end.

    Returns:
      The text, with special tokens by name.

    Raises:
      ValueError: There is no chat template, or turns are out of order.
    """
    messages = [Message(m["role"], m["content"]) for m in chat_history]
    begun = bool(messages) and messages[-1].role == "assistant"
    return chat_text.chat_text(
      messages,
      template=self._named_template(),
      tokenizer=self._spelled,
      open_end=add_generation_prompt or begun,
    )

  def chat_template(self, chat_template: bool | str = False) -> str | None:
    """The chat template in Jinja, as it is exported with a model.

    Args:
      chat_template: Whether one is applied, or its name.

    Returns:
      Its text; None where none is applied.

    Raises:
      ValueError: The model's is another one, or there is none.
    """
    if chat_template is False:
      return None
    name = self._named_template()
    if chat_template not in (True, name):
      raise ValueError(
        f"chat_template={chat_template!r}: the model's is {name!r}."
      )
    return jinja_templates.jinja_template(name)

  def _named_template(self) -> str:
    if self._template is None:
      raise ValueError(
        "no chat template was named for this model: give template=, one of"
        f" {', '.join(templates.TEMPLATE_NAMES)}."
      )
    return self._template

  def _pair(self, context: str, continuation: str) -> TokenPair:
    # BOS is put first by `encode_pair`.
    if context:
      context = self._spelled.without_bos(context)
    else:
      continuation = self._spelled.without_bos(continuation)
    return pair_encoding.encode_pair(
      context, continuation, tokenizer=self._spelled
    )

  def _scored(self, pairs: Sequence[TokenPair]) -> list[ContinuationLogp]:
    results = self._score(pairs)
    self.num_truncated += sum(found.num_truncated > 0 for found in results)
    return results

  def _asked(
    self, index: int, context: str, wanted: Generation, end: TextEnd
  ) -> sampler.Request:
    """What the sampler is asked for, of one request."""
    room = self._max_length - wanted.options.max_tokens
    tokens = self._spelled.encode_whole(context)
    tokens = tokens or [pair_encoding.prefix_id(self._tokenizer)]
    self.num_truncated += len(tokens) > room
    return sampler.Request(
      prompt=np.asarray(tokens[-room:], np.int32),
      options=dataclasses.replace(
        wanted.options, stop_tokens=self._stop_tokens
      ),
      # Answers to the same context, asked for again, differ where sampled.
      seed=sample_seeds.sample_seed(0, index, 0),
      cut=end.cut,
    )


def harness_lm(*args: Any, **kwargs: Any) -> Any:
  """A `HarnessModel` that is an `LM` of the harness, too.

  Args:
    *args: For `HarnessModel`.
    **kwargs: For `HarnessModel`.

  Returns:
    What `lm_eval.simple_evaluate` takes as its model.

  Raises:
    ImportError: The harness (lm_eval) is not installed.
  """
  from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]

  return type("RamjaxLM", (HarnessModel, LM), {})(*args, **kwargs)


def _shown(requests: Sequence[Request]) -> Any:
  """The requests while they are encoded; a bar on a terminal."""
  return tqdm.tqdm(
    requests,
    desc="encoding",
    dynamic_ncols=True,
    disable=not sys.stderr.isatty(),
  )
