# SPDX-License-Identifier: Apache-2.0
"""The engine that is this process: our model, tokenizer and sampler."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ramjax.data import templates
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import next_tokens, top_tokens
from ramjax.evals.answer_text import AnswerText
from ramjax.evals.engine import ChatRequest, Completion
from ramjax.evals.top_tokens import NextTokens
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
    asked = [self.to_request(request) for request in requests]
    samples = sampler.sample(
      self._params,
      self._config,
      asked,
      num_slots=self._num_slots,
      vocab_size=self._tokenizer.vocab_size,
      progress=progress,
    )
    return [
      dataclasses.replace(
        self.to_completion(request, sample),
        num_prompt_tokens=len(to_sampler.prompt),
      )
      for request, to_sampler, sample in zip(
        requests, asked, samples, strict=True
      )
    ]

  def top_tokens(
    self,
    requests: Sequence[ChatRequest],
    *,
    num: int,
    arrived: top_tokens.Arrived | None = None,
  ) -> list[NextTokens | OSError]:
    """See `top_tokens.TopTokens`; special tokens go by their names.

    Raises:
      ValueError: A conversation is too long, or the weights are damaged.
    """
    top_tokens.check_num(num)
    prompts = [self.to_request(request).prompt for request in requests]
    found: dict[int, NextTokens | OSError] = {}
    for index, ids, logps in next_tokens.next_tokens(
      self._params,
      self._config,
      prompts,
      num=num,
      vocab_size=self._tokenizer.vocab_size,
      most_rows=self._num_slots,
    ):
      if np.isnan(logps).any():
        raise ValueError(
          f"request {index + 1} has log-probabilities that are no numbers: the"
          " weights are damaged."
        )
      spelled = (
        self._tokenizer.decode([int(i)], keep_special=True) for i in ids
      )
      top = top_tokens.merged(zip(spelled, map(float, logps), strict=True))
      found[index] = NextTokens(top, len(prompts[index]), num_tokens=1)
      if arrived is not None:
        arrived(index, found[index])
    return [found[i] for i in range(len(requests))]

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
