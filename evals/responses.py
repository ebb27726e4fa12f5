# SPDX-License-Identifier: Apache-2.0
"""A model's greedy answers to prompts, as text."""

from collections.abc import Callable, Sequence
from typing import Any

from ramjax.data.rows import Message
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals.engine import ChatRequest
from ramjax.evals.local_engine import LocalEngine
from ramjax.models.config import LlamaConfig
from ramjax.models.sampling_options import SamplingOptions

Prompt = Sequence[Message]
Respond = Callable[[Any, Sequence[Prompt]], list[str]]


def make_responder(
  config: LlamaConfig,
  *,
  tokenizer: Tokenizer,
  template: str,
  max_new_tokens: int,
  batch_size: int = 64,
) -> Respond:
  """Builds `(params, prompts) -> responses`, greedy.

  Args:
    config: Of the model.
    tokenizer: Its tokenizer.
    template: Its chat template.
    max_new_tokens: Longest answer, in tokens.
    batch_size: Prompts answered at a time.

  Returns:
    The function. An answer ends before the template's end-of-turn token, or
    after `max_new_tokens`; white space around it is stripped.
  """
  options = SamplingOptions(temperature=0.0, max_tokens=max_new_tokens)

  def respond(params: Any, prompts: Sequence[Prompt]) -> list[str]:
    engine = LocalEngine(
      params,
      config,
      tokenizer=tokenizer,
      template=template,
      num_slots=batch_size,
    )
    requests = [ChatRequest(tuple(prompt), options) for prompt in prompts]
    return [answer.text for answer in engine.complete(requests)]

  return respond
