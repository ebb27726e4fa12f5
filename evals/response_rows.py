# SPDX-License-Identifier: Apache-2.0
"""Whole answers as rows of tokens, each behind its prompt, to be scored."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.encode import encode
from ramjax.data.rows import Message
from ramjax.data.tokenize_groups import Group
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals.padded_rows import Row


class Conversation(NamedTuple):
  """Messages that end in a user turn, and what answers them."""

  prompt: tuple[Message, ...]
  response: str


def conversation_rows(
  conversations: Sequence[Conversation],
  *,
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
) -> tuple[list[Row], int]:
  """Tokenises conversations as RewardBench's tool does, by themselves.

  Of one that is too long the last tokens are kept, without BOS: of pairs the
  answers then follow different prompts.

  Args:
    conversations: What to tokenise; a response may be empty.
    template: One of `templates.TEMPLATE_NAMES`.
    tokenizer: The tokenizer.
    max_length: Tokens that are kept at most.

  Returns:
    Rows in which the response and its end count, and how many were cut.
  """
  rows, num_cut = [], 0
  for prompt, response in conversations:
    answer = Message("assistant", response, supervised=True)
    tokens, mask = encode((*prompt, answer), template, tokenizer)
    num_cut += len(tokens) > max_length
    rows.append(
      Row(
        np.asarray(tokens[-max_length:], np.int32),
        np.asarray(mask[-max_length:], np.bool_),
      )
    )
  return rows, num_cut


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
