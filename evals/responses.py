# SPDX-License-Identifier: Apache-2.0
"""A model's answers to prompts, as text."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ramjax.data import templates
from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import Tokenizer
from ramjax.models import sampling
from ramjax.models.config import LlamaConfig

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
    after `max_new_tokens`; white space around it, which some templates put
    there, is stripped.
  """
  stop_tokens = tuple(
    tokenizer.special_id(name)
    for name in templates.end_of_turn_tokens(template)
  )

  def respond(params: Any, prompts: Sequence[Prompt]) -> list[str]:
    encoded = [
      tokenize_prompt(prompt, template=template, tokenizer=tokenizer)
      for prompt in prompts
    ]
    responses = []
    for start in range(0, len(encoded), batch_size):
      part = encoded[start : start + batch_size]
      tokens, lengths = sampling.pad_prompts(part, batch_size=batch_size)
      generated = jax.device_get(
        sampling.generate(
          params,
          config,
          tokens,
          lengths,
          max_new_tokens=max_new_tokens,
          stop_tokens=stop_tokens,
          vocab_size=tokenizer.vocab_size,
        )
      )
      responses += [
        tokenizer.decode(row[:length]).strip()
        for row, length in zip(generated.tokens, generated.lengths, strict=True)
      ][: len(part)]
    return responses

  return respond
