# SPDX-License-Identifier: Apache-2.0
"""Rows to token ids, with the mask of what is trained on.

The prompt of a training example is token for token what generation will be
given, because no token crosses the edge between a header and an answer. Masks
come from lengths, never from comparing ids with those of padding or EOS.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.encode import Encoded, encode, encode_prompt
from ramjax.data.rows import Message, SFTRow, TextRow
from ramjax.data.shorten import cut_prompt, joined, largest, prompt_room
from ramjax.data.tokenizers import Tokenizer


class Example(NamedTuple):
  """One tokenised row.

  Attributes:
    tokens: [n] int32 ids.
    response_mask: [n] bool, True where the token is supervised.
    num_truncated: Tokens cut to fit; 0 when the row fitted.
  """

  tokens: np.ndarray
  response_mask: np.ndarray
  num_truncated: int


def tokenize_row(
  row: SFTRow, *, template: str, tokenizer: Tokenizer, max_length: int
) -> Example:
  """Tokenises one row, truncated to `max_length`.

  A `ChatRow` that is too long gives up, in this order and no more than it has
  to: (1) the messages after its last supervised turn; (2) its oldest exchanges
  of a user and an assistant turn, but never the system message; (3) the end of
  its last user turn, then of its system message; (4) the end of its answer,
  with the end-of-turn token, for it did not end there. In (3) the prompt stops
  giving when the answer has max_length // 2 tokens. A `TextRow`, which has no
  header, gives up the start of its prompt in place of (1) to (3): what stands
  nearest to the answer stays.

  Args:
    row: A conversation, or raw text: BOS (where the tokenizer has one),
      prompt, completion, EOS, of which the last two are supervised.
    template: The chat template of a `ChatRow`, one of
      `templates.TEMPLATE_NAMES`. A `TextRow` uses none.
    tokenizer: The tokenizer.
    max_length: The largest number of tokens, BOS and all.

  Returns:
    The example: at least one token is supervised, no header was dropped.

  Raises:
    ValueError: The headers alone do not fit, the row supervises nothing, or
      the template does not suit the row or the tokenizer.
  """
  if isinstance(row, TextRow):
    return _tokenize_text(row, tokenizer, max_length)
  full = encode(row.messages, template, tokenizer)
  if not any(full.mask):
    raise ValueError(
      "the row supervises no token: mark at least one assistant turn"
      " supervised=True."
    )
  kept = full
  if len(full.tokens) > max_length:
    kept = _fit(row.messages, template, tokenizer, max_length)
  return _example(kept, len(full.tokens))


def tokenize_prompt(
  messages: Sequence[Message], *, template: str, tokenizer: Tokenizer
) -> np.ndarray:
  """Tokenises a conversation up to the header of the answer to come.

  Args:
    messages: An optional system message, then user and assistant turns in
      alternation, ending with the user's.
    template: One of `templates.TEMPLATE_NAMES`.
    tokenizer: The tokenizer.

  Returns:
    [n] int32 ids: those with which `tokenize_row` starts when the row goes on
    with an answer and is not truncated.

  Raises:
    ValueError: Turns out of order, or a template that does not suit the
      tokenizer.
  """
  prompt = encode(messages, template, tokenizer, add_generation_prompt=True)
  return np.asarray(prompt.tokens, np.int32)


def _example(kept: Encoded, num_full: int) -> Example:
  return Example(
    tokens=np.asarray(kept.tokens, np.int32),
    response_mask=np.asarray(kept.mask, np.bool_),
    num_truncated=num_full - len(kept.tokens),
  )


def _fit(
  messages: Sequence[Message],
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
) -> Encoded:
  """Steps (1) to (4) of `tokenize_row` for a conversation that is too long."""
  last = max(i for i, message in enumerate(messages) if message.supervised)
  system = messages[:1] if messages[0].role == "system" else messages[:0]
  turns = messages[len(system) : last + 1]

  def keep(num_exchanges: int) -> Encoded:
    rest = (*system, *turns[-2 * num_exchanges :])
    return encode(rest, template, tokenizer)

  num_exchanges = largest(
    lambda n: len(keep(n).tokens) <= max_length, 1, len(turns) // 2
  )
  kept = keep(num_exchanges)
  if len(kept.tokens) <= max_length:
    return kept
  # The last exchange alone is too long. An answer's tokens do not depend on
  # the prompt, so the prompt is cut by itself.
  prompt = [*system, turns[-2]]
  num_prompt = len(encode_prompt(prompt, template, tokenizer).tokens)
  response = Encoded(kept.tokens[num_prompt:], kept.mask[num_prompt:])
  room = prompt_room(len(response.tokens), max_length)
  cut = cut_prompt(prompt, template, tokenizer, room)
  if len(cut.tokens) >= max_length:
    raise ValueError(
      f"max_length={max_length} leaves no room for an answer: the headers of"
      f" template={template!r} and one token of the answer need"
      f" max_length={len(cut.tokens) + 1}."
    )
  return joined(cut, response, max_length)


def _tokenize_text(
  row: TextRow, tokenizer: Tokenizer, max_length: int
) -> Example:
  """BOS, prompt, completion, EOS; the prompt gives way at its start."""
  if max_length < 2:
    raise ValueError(
      f"max_length={max_length} leaves no room for an answer: BOS and one"
      " token of the answer need max_length=2."
    )
  # Some tokenizers (Qwen2's) have no BOS: their models never saw one.
  bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
  prompt = tokenizer.encode(row.prompt, at_start=True)
  completion = tokenizer.encode(row.completion, at_start=not row.prompt)
  completion.append(tokenizer.special_id("eos"))
  num_full = len(bos) + len(prompt) + len(completion)
  if num_full > max_length:
    num_kept = prompt_room(len(completion), max_length) - len(bos)
    prompt = prompt[max(len(prompt) - num_kept, 0) :]
  context = bos + prompt
  kept = joined(
    Encoded(context, [False] * len(context)),
    Encoded(completion, [True] * len(completion)),
    max_length,
  )
  return _example(kept, num_full)
