# SPDX-License-Identifier: Apache-2.0
"""Whole answers as rows of tokens, each behind its prompt, to be scored."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.encode import Encoded, encode
from ramjax.data.rows import Message
from ramjax.data.tokenize_groups import Group
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals.padded_rows import Row


class Conversation(NamedTuple):
  """Messages that end in a user turn, and what answers them."""

  prompt: tuple[Message, ...]
  response: str


class CutRows(NamedTuple):
  """Rows of conversations, and what was cut.

  Attributes:
    rows: In which the response and its end count.
    num_cut: How many lost their start.
    num_responses_cut: In how many the response lost its end.
  """

  rows: list[Row]
  num_cut: int
  num_responses_cut: int


def conversation_rows(
  conversations: Sequence[Conversation],
  *,
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
) -> CutRows:
  """Tokenises conversations for a score head, as RewardBench's tool does.

  Of one that is too long the last tokens are kept, without BOS: of pairs the
  answers then follow different prompts. One thing differs: BOS stands once, and
  their pipeline puts another before the one that a chat template writes.

  Args:
    conversations: What to tokenise; a response may be empty.
    template: One of `templates.TEMPLATE_NAMES`.
    tokenizer: The tokenizer.
    max_length: Tokens that are kept at most.
  """
  rows, num_cut = [], 0
  for conversation in conversations:
    tokens, mask = _encoded(conversation, template, tokenizer)
    num_cut += len(tokens) > max_length
    rows.append(_row(tokens[-max_length:], mask[-max_length:]))
  return CutRows(rows, num_cut, 0)


def answer_rows(
  questions: Sequence[Sequence[Conversation]],
  *,
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
) -> CutRows:
  """Tokenises answers to questions, for log-probabilities.

  Where the longest answer does not fit behind its prompt, the prompt loses its
  start, the same for all answers of the question. An answer that leaves no room
  for one token of the prompt loses its end.

  This is not how RewardBench's tool does it. That takes a whole conversation,
  its prompt among it, for the answer behind the prompt; adds EOS, which counts;
  and where both are too long, keeps the last 128 tokens of the prompt and then
  cuts the end of the answer.

  Args:
    questions: The answers of each, which have one prompt; they may be empty.
    template: One of `templates.TEMPLATE_NAMES`.
    tokenizer: The tokenizer.
    max_length: Tokens that are kept at most, at least 2.

  Raises:
    ValueError: `max_length` is below 2.
  """
  if max_length < 2:
    raise ValueError(
      f"max_length={max_length} leaves no token for an answer to follow: 2 or"
      " more."
    )
  rows, num_cut, num_responses_cut = [], 0, 0
  for conversations in questions:
    encoded = [_encoded(one, template, tokenizer) for one in conversations]
    starts = [one.mask.index(True) for one in encoded]
    lengths = [
      len(one.tokens) - start
      for one, start in zip(encoded, starts, strict=True)
    ]
    room = max(1, max_length - max(lengths))
    for (tokens, mask), start in zip(encoded, starts, strict=True):
      cut = max(0, start - room)
      kept = slice(cut, cut + max_length)
      num_cut += cut > 0
      num_responses_cut += len(tokens) - cut > max_length
      rows.append(_row(tokens[kept], mask[kept]))
  return CutRows(rows, num_cut, num_responses_cut)


def _encoded(
  conversation: Conversation, template: str, tokenizer: Tokenizer
) -> Encoded:
  answer = Message("assistant", conversation.response, supervised=True)
  return encode((*conversation.prompt, answer), template, tokenizer)


def _row(tokens: Sequence[int], mask: Sequence[bool]) -> Row:
  return Row(np.asarray(tokens, np.int32), np.asarray(mask, np.bool_))


def group_rows(group: Group) -> list[Row]:
  """A row for each answer of a group: what training makes of a row of data."""
  rows = []
  for k, response in enumerate(group.responses):
    prompt = group.prompts[k % len(group.prompts)]
    mask = np.concatenate(
      [np.zeros(len(prompt), np.bool_), group.response_masks[k]]
    )
    rows.append(Row(np.concatenate([prompt, response]), mask))
  return rows


def num_scored(row: Row) -> int:
  """Tokens that count: a row's first is predicted from nothing."""
  return int(np.count_nonzero(row.mask[1:]))
