# SPDX-License-Identifier: Apache-2.0
"""The engine that is this process: our model, tokenizer and sampler."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ramjax.data import templates
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals.answer_text import AnswerText
from ramjax.evals.engine import ChatRequest, Completion
from ramjax.models import sampler
from ramjax.models.config import LlamaConfig


class LocalEngine:
  """Answers with a model on this process's devices."""

  def __init__(
    self,
    params: Any,
    config: LlamaConfig,
    *,
    tokenizer: Tokenizer,
    template: str,
    num_slots: int = 64,
  ):
    """Cheap: nothing is computed before an answer is asked for.

    Args:
      params: Of a language model.
      config: Its shape.
      tokenizer: Its tokenizer.
      template: Its chat template, by name.
      num_slots: Answers that are continued at a time, at most.
    """
    self._params = params
    self._config = config
    self._tokenizer = tokenizer
    self._template = template
    self._num_slots = num_slots
    self._turn_ends = tuple(
      tokenizer.special_id(name)
      for name in templates.end_of_turn_tokens(template)
    )

  def complete(
    self,
    requests: Sequence[ChatRequest],
    *,
    progress: Callable[[int], None] | None = None,
  ) -> list[Completion]:
    """See `engine.Engine`."""
    samples = sampler.sample(
      self._params,
      self._config,
      [self.to_request(request) for request in requests],
      num_slots=self._num_slots,
      vocab_size=self._tokenizer.vocab_size,
      progress=progress,
    )
    return [
      self.to_completion(request, sample)
      for request, sample in zip(requests, samples, strict=True)
    ]

  def fits(self, request: ChatRequest) -> bool:
    """Whether prompt and answer have room in the model's positions."""
    length = len(self.to_request(request).prompt)
    return length + request.options.max_tokens <= self._config.max_positions

  def to_request(self, request: ChatRequest) -> sampler.Request:
    """What the sampler is asked for, of one request."""
    prompt = tokenize_prompt(
      request.messages, template=self._template, tokenizer=self._tokenizer
    )
    stop_tokens = (*self._turn_ends, *request.options.stop_tokens)
    if "" in request.stop:
      raise ValueError(
        "stop has an empty text, which would end every answer: leave it out."
      )
    return sampler.Request(
      prompt=np.asarray(prompt, np.int32),
      options=dataclasses.replace(
        request.options, stop_tokens=tuple(dict.fromkeys(stop_tokens))
      ),
      seed=request.seed,
      cut=self._text(request).cut if request.stop else None,
    )

  def to_completion(
    self, request: ChatRequest, sample: sampler.Sample
  ) -> Completion:
    """The answer in a sample."""
    return Completion(
      text=self._text(request).whole(sample.tokens),
      finished=sample.finished,
      num_tokens=len(sample.tokens),
      tokens=sample.tokens,
      logps=sample.logps,
      drawn_logps=sample.drawn_logps,
    )

  def _text(self, request: ChatRequest) -> AnswerText:
    return AnswerText(
      self._tokenizer,
      ends=(*self._turn_ends, *request.options.stop_tokens),
      stop=request.stop,
      strip=True,
    )
