# SPDX-License-Identifier: Apache-2.0
"""Messages to token ids, span by span, with the mask of what is supervised."""

from collections.abc import Sequence
from typing import NamedTuple

from ramjax.data import templates
from ramjax.data.rows import Message
from ramjax.data.templates import Span
from ramjax.data.tokenizers import Tokenizer


class Encoded(NamedTuple):
  """Ids and mask, [n] each, as lists: rows are short and concatenated a lot."""

  tokens: list[int]
  mask: list[bool]


def encode(
  messages: Sequence[Message],
  template: str,
  tokenizer: Tokenizer,
  *,
  add_generation_prompt: bool = False,
) -> Encoded:
  """Renders and encodes, span by span."""
  spans = templates.render(
    messages, template=template, add_generation_prompt=add_generation_prompt
  )
  tokens: list[int] = []
  mask: list[bool] = []
  before = Span("bos", special=True)
  for span in spans:
    if span.special:
      ids = [tokenizer.special_id(span.text, template=template)]
    else:
      at_start = before.special and before.text == "bos"
      ids = tokenizer.encode(span.text, at_start=at_start)
    tokens += ids
    mask += [span.supervised] * len(ids)
    before = span
  return Encoded(tokens, mask)


def encode_prompt(
  prompt: Sequence[Message], template: str, tokenizer: Tokenizer
) -> Encoded:
  """Encodes what precedes an answer, up to its header."""
  return encode(prompt, template, tokenizer, add_generation_prompt=True)
