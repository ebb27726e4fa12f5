# SPDX-License-Identifier: Apache-2.0
"""Rows of every kind with answers -> groups of tokenised answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from ramjax.data.judged_prompts import judged_prompt
from ramjax.data.rows import (
  JudgedRow,
  PreferenceRow,
  RankedRow,
  RatedRow,
  UnpairedRow,
)
from ramjax.data.tokenize_groups import Group, tokenize_group
from ramjax.data.tokenizers import Tokenizer

GroupRow = PreferenceRow | UnpairedRow | RankedRow | RatedRow | JudgedRow


def to_group(
  row: GroupRow, *, template: str, tokenizer: Tokenizer, max_length: int
) -> Group:
  """Tokenises one row; `tokenize_groups.tokenize_group` says how it is cut.

  Features: of a pair `margins` and `preference_probs`, of an unpaired row
  `labels` (1 is desirable), of a rated one `targets`, of a judged one `labels`
  and two answers: the completion after the judged prompt, and after the plain
  one.
  """
  tokenizing: dict[str, Any] = dict(
    template=template, tokenizer=tokenizer, max_length=max_length
  )
  match row:
    case PreferenceRow():
      features = {
        "margins": [row.margin],
        "preference_probs": [row.preference_prob],
      }
      answers = (row.chosen, row.rejected)
      return tokenize_group(
        row.prompt, answers, features=features, **tokenizing
      )
    case RankedRow():
      return tokenize_group(
        row.prompt, row.completions, features={}, **tokenizing
      )
    case RatedRow():
      features = {"targets": row.ratings}
      return tokenize_group(
        row.prompt, [row.completion], features=features, **tokenizing
      )
    case UnpairedRow():
      features = {"labels": [row.label]}
      return tokenize_group(
        row.prompt, [row.completion], features=features, **tokenizing
      )
    case JudgedRow():
      return _judged_group(row, tokenizing)


def _judged_group(row: JudgedRow, tokenizing: dict[str, Any]) -> Group:
  features = {"labels": [row.label]}
  prompts = (judged_prompt(row.prompt, row.judgement), row.prompt)
  conditioned, plain = (
    tokenize_group(prompt, [row.completion], features=features, **tokenizing)
    for prompt in prompts
  )
  # The judgement takes room; the two answers are compared token by token.
  lengths = len(conditioned.responses[0]), len(plain.responses[0])
  length = min(lengths)
  if not np.array_equal(
    conditioned.responses[0][:length], plain.responses[0][:length]
  ):
    raise ValueError(
      f"a row has prompt={row.prompt!r}, and this tokenizer encodes its answer"
      " differently after a judgement: the two cannot be compared token by"
      " token. Give the row a prompt, or drop it."
    )
  return Group(
    prompts=(conditioned.prompts[0], plain.prompts[0]),
    responses=(
      conditioned.responses[0][:length],
      plain.responses[0][:length],
    ),
    response_masks=(
      conditioned.response_masks[0][:length],
      plain.response_masks[0][:length],
    ),
    features=plain.features,
    num_truncated=conditioned.num_truncated
    + plain.num_truncated
    + max(lengths)
    - length,
  )


def tokenize_group_rows(
  rows: Sequence[GroupRow],
  *,
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
  label: str,
) -> tuple[list[Group], list[int], dict[str, int]]:
  """Tokenises rows with a progress bar on a terminal.

  Rows two of whose answers are the same once they are cut are left out: neither
  of the two can be the better.

  Args:
    rows: The rows.
    template: Name of the chat template.
    tokenizer: The tokenizer.
    max_length: Longest prompt and answer; longer ones are cut and counted.
    label: Shown beside the bar.

  Returns:
    The groups, the index of each one's row, and counts: `tokens`,
    `supervised_tokens`, `rows_truncated`, `tokens_truncated`, `rows_identical`
    (left out).
  """
  groups, kept = [], []
  counts = {
    "tokens": 0,
    "supervised_tokens": 0,
    "rows_truncated": 0,
    "tokens_truncated": 0,
    "rows_identical": 0,
  }
  progress = tqdm.tqdm(
    rows, desc=f"tokenising {label}", unit="row", disable=None, leave=False
  )
  for i, row in enumerate(progress):
    group = to_group(
      row, template=template, tokenizer=tokenizer, max_length=max_length
    )
    counts["rows_truncated"] += group.num_truncated > 0
    counts["tokens_truncated"] += group.num_truncated
    if is_identical(group):
      counts["rows_identical"] += 1
      continue
    counts["tokens"] += group.num_tokens
    counts["supervised_tokens"] += sum(
      int(m.sum()) for m in group.response_masks
    )
    groups.append(group)
    kept.append(i)
  return groups, kept, counts


def is_identical(group: Group) -> bool:
  """Whether two answers to the same prompt are the same, token for token."""
  if len(group.prompts) > 1:
    return False
  answers = [answer.tobytes() for answer in group.responses]
  return len(set(answers)) < len(answers)


def with_mismatched(
  groups: Sequence[Group], pool: Sequence[Group], max_length: int
) -> list[Group]:
  """Adds to each answer a second one, which belongs to another prompt.

  KTO measures on it how far the policy has moved (arXiv 2402.01306, section
  4.1). The answer is that of the next group of the pool with another prompt, so
  it does not depend on batches.

  Args:
    groups: Of one answer each.
    pool: Where the other answers come from, also of one answer each.
    max_length: Longest prompt and answer; the other answer is cut to fit.

  Returns:
    Groups of two answers.

  Raises:
    ValueError: All prompts of the pool are the same.
  """
  found = []
  for i, group in enumerate(groups):
    other = _other_answer(group, pool, i)
    room = max_length - len(group.prompts[0])
    found.append(
      group._replace(
        responses=(*group.responses, other.responses[0][:room]),
        response_masks=(*group.response_masks, other.response_masks[0][:room]),
      )
    )
  return found


def _other_answer(group: Group, pool: Sequence[Group], i: int) -> Group:
  for step in range(1, len(pool) + 1):
    other = pool[(i + step) % len(pool)]
    if not np.array_equal(other.prompts[0], group.prompts[0]):
      return other
  raise ValueError(
    "all training rows have the same prompt: KTO compares answers to different prompts."
    " Add rows with other prompts, or choose another loss."
  )
