# SPDX-License-Identifier: Apache-2.0
"""Texts to token ids as the Language Model Evaluation Harness splits them.

Its rules (version 0.4.13, `TemplateLM._encode_pair` and `loglikelihood`), so
that figures can be compared with published ones. BOS stands where the tokenizer
has one, as for a Llama there.
"""

import pathlib
from typing import Protocol

from ramjax.evals.continuations import TokenPair


class Encoder(Protocol):
  """What is asked of a tokenizer here."""

  @property
  def path(self) -> pathlib.Path:
    """The file it was loaded from."""
    ...

  @property
  def bos_id(self) -> int | None:
    """The id that starts a sequence."""
    ...

  @property
  def eos_id(self) -> int | None:
    """The id that ends a sequence."""
    ...

  def encode(self, text: str, *, at_start: bool) -> list[int]:
    """Ids of a text; `at_start` where a sequence begins with it."""
    ...


def prefix_id(tokenizer: Encoder) -> int:
  """What a text without context is predicted from: BOS, or else EOS.

  Raises:
    ValueError: The tokenizer has neither.
  """
  for id_ in (tokenizer.bos_id, tokenizer.eos_id):
    if id_ is not None:
      return id_
  raise ValueError(
    f"{tokenizer.path} has neither BOS nor EOS, one of which the first token of"
    " a text is predicted from: take the tokenizer the model was published with."
  )


def encode_pair(
  context: str, continuation: str, *, tokenizer: Encoder
) -> TokenPair:
  """Encodes a context and what follows it.

  Whitespace at the context's end moves to the continuation, since tokenizers
  join spaces to the word behind them. Then both are encoded as one text, which
  is split by the length of the encoded context: where a token crosses the edge,
  the context's ids are those of the context alone, as the harness has it.

  Args:
    context: May be empty; then it is `prefix_id` alone.
    continuation: Not empty.
    tokenizer: The model's.

  Returns:
    The ids; both parts have some.

  Raises:
    ValueError: There is nothing to score, or one token covers both texts.
  """
  if not continuation:
    raise ValueError(
      f"nothing follows the context {context[-80:]!r}: a continuation needs"
      " text."
    )
  stripped = context.rstrip()
  continuation = context[len(stripped) :] + continuation
  if not stripped:
    # Encoded as the start of a text, of which the prefix is no part.
    return TokenPair(
      [prefix_id(tokenizer)], tokenizer.encode(continuation, at_start=True)
    )
  bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
  before = bos + tokenizer.encode(stripped, at_start=True)
  whole = bos + tokenizer.encode(stripped + continuation, at_start=True)
  if len(whole) <= len(before):
    raise ValueError(
      f"{continuation[:80]!r} adds no token to {stripped[-80:]!r}: the"
      " tokenizer joins them, so that it cannot be scored by itself."
    )
  return TokenPair(before, whole[len(before) :])
