# SPDX-License-Identifier: Apache-2.0
"""Groups of answers -> batches: whole groups in a row, a prompt shared or not.

A shared prompt is computed once: its tokens but the last, then for each answer
a branch that begins with the prompt's last token again, at the same position.
So every answer's first token is predicted within its own branch, and the row
needs no rule that an ordinary one does not have.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import grain
import numpy as np

from ramjax.data import packing
from ramjax.data.tokenize_groups import Group

# A row has places for one group per so many tokens; those arrays are tiny.
_TOKENS_PER_GROUP = 16
# Above, float32 would give two rows one number.
_MOST_ROWS = 2**24
# Of NumPy as made here, of JAX within a compiled function.
_Array = Any


class GroupBatch(NamedTuple):
  """Rows that hold whole groups; [B, T], G groups of K answers in each row.

  Attributes:
    tokens: int32 token ids; padding holds 0.
    response_mask: bool, True where the token itself is supervised.
    segment_ids: int32, equal where tokens may see each other; 0 is padding.
    branch_ids: int32, 0 for a shared prompt and 1, 2, ... for its answers; None
      where no prompt is shared.
    positions: int32, as if each answer followed its prompt alone.
    response_ids: int32, 1 + g K + k for the tokens of answer k of group g of
      the row; 0 elsewhere.
    features: By name, [B, G, n] float32: what is known of each group. `present`
      [B, G, K] and `row_ids` [B, G, 1] are always there: 1 where there is an
      answer, and the number of the group, counted through all sources.
  """

  tokens: _Array
  response_mask: _Array
  segment_ids: _Array
  branch_ids: _Array | None
  positions: _Array
  response_ids: _Array
  features: dict[str, _Array]


def train_batches(
  sources: Sequence[Sequence[Group]],
  *,
  weights: Sequence[float],
  row_length: int,
  share_prompt: bool,
  batch_size: int,
  pack: bool,
  seed: int,
) -> grain.DatasetIterator:
  """Endless shuffled `GroupBatch`es; see `packing.train_batches`.

  Raises:
    ValueError: See there; a group that fits no row, or cannot share a prompt.
  """
  groups = [group for source in sources for group in source]
  return packing.train_batches(
    _numbered(sources),
    _layout(groups, row_length=row_length, share_prompt=share_prompt),
    weights=weights,
    batch_size=batch_size,
    pack=pack,
    seed=seed,
  )


def eval_batches(
  groups: Sequence[Group],
  *,
  row_length: int,
  share_prompt: bool,
  batch_size: int,
  pack: bool,
) -> list[GroupBatch]:
  """Every group exactly once; the last batch is padded with empty rows.

  Raises:
    ValueError: There are no groups, or as `train_batches`.
  """
  (numbered,) = _numbered([groups])
  return packing.eval_batches(
    numbered,
    _layout(groups, row_length=row_length, share_prompt=share_prompt),
    batch_size=batch_size,
    pack=pack,
  )


def count_tokens(batch: GroupBatch) -> tuple[int, int, int]:
  """Places, tokens and supervised tokens of a batch."""
  return (
    batch.tokens.size,
    int(np.count_nonzero(batch.segment_ids)),
    int(np.count_nonzero(batch.response_mask)),
  )


def row_tokens(group: Group, *, share_prompt: bool) -> int:
  """How many places of a row a group takes."""
  if not share_prompt:
    return group.num_tokens
  return group.num_tokens - (group.size - 1) * _num_shared(group.prompts[0])


def _num_shared(prompt: np.ndarray) -> int:
  """Tokens of a shared prompt that are computed once."""
  return max(len(prompt) - 1, 0)


def _numbered(sources: Sequence[Sequence[Group]]) -> list[list[Group]]:
  """The groups with their number, counted through all sources, in `row_ids`."""
  if sum(map(len, sources)) > _MOST_ROWS:
    raise ValueError(
      f"{sum(map(len, sources)):,} rows, and at most {_MOST_ROWS:,} have a number"
      " that float32 holds: train on a part of them at a time."
    )
  start, numbered = 0, []
  for source in sources:
    numbered.append(
      [
        group._replace(
          features={**group.features, "row_ids": np.array([i], np.float32)}
        )
        for i, group in enumerate(source, start)
      ]
    )
    start += len(source)
  return numbered


def _layout(
  groups: Sequence[Group], *, row_length: int, share_prompt: bool
) -> packing.Layout:
  if not groups:
    raise ValueError("there are no rows to make batches of.")
  needed = max(row_tokens(g, share_prompt=share_prompt) for g in groups)
  if needed > row_length:
    raise ValueError(
      f"data.row_length={row_length} is too short: the answers of one row need"
      f" {needed} tokens. Raise it, or lower data.max_length."
    )
  if share_prompt and any(len(group.prompts) > 1 for group in groups):
    raise ValueError(
      "the answers of a row follow different prompts, which cannot be shared:"
      " set data.share_prompt=False."
    )
  num_answers = max(group.size for group in groups)
  num_groups = max(1, row_length // _TOKENS_PER_GROUP)
  most = packing.most_segments(row_length)
  if not share_prompt and num_answers > most:
    raise ValueError(
      f"data.row_length={row_length} is too short: a row of that length has"
      f" room for {most} answers with prompts of their own, and one group has"
      f" {num_answers}. Raise it, or set data.share_prompt=True."
    )
  sizes = {name: len(value) for name, value in groups[0].features.items()}
  sizes |= {"row_ids": 1, "present": num_answers}
  per_token = ("tokens", "response_mask", "branch", "answer", "positions")
  lengths = dict.fromkeys(per_token, row_length)
  lengths |= {name: num_groups * size for name, size in sizes.items()}
  lengths["segments"] = most

  def to_batch(row: dict[str, np.ndarray]) -> GroupBatch:
    group = row["tokens_segment_ids"].astype(np.int32)
    within = (group - 1) * num_answers
    branch = row["branch"].astype(np.int32)
    answer = row["answer"].astype(np.int32)
    real = group > 0
    features = {
      name: row[name].astype(np.float32).reshape(-1, num_groups, size)
      for name, size in sizes.items()
    }
    return GroupBatch(
      tokens=row["tokens"].astype(np.int32),
      response_mask=row["response_mask"].astype(bool),
      # Without sharing, `branch` numbers the answers, each a segment.
      segment_ids=group if share_prompt else np.where(real, within + branch, 0),
      branch_ids=branch if share_prompt else None,
      positions=row["positions"].astype(np.int32),
      response_ids=np.where(answer > 0, within + answer, 0),
      features=features,
    )

  return packing.Layout(
    features=lambda group: _places(group, num_answers, share_prompt),
    lengths=lengths,
    to_batch=to_batch,
    max_per_row=num_groups,
  )


def _places(
  group: Group, num_answers: int, share_prompt: bool
) -> dict[str, np.ndarray]:
  """One group, token by token."""
  parts = []
  if share_prompt:
    prefix = group.prompts[0][: _num_shared(group.prompts[0])]
    parts.append(_part(prefix, branch=0, answer=0, first_position=0))
  for k, response in enumerate(group.responses):
    prompt = group.prompts[k % len(group.prompts)]
    shared = _num_shared(prompt) if share_prompt else 0
    parts.append(
      _part(prompt[shared:], branch=k + 1, answer=0, first_position=shared)
    )
    part = _part(
      response, branch=k + 1, answer=k + 1, first_position=len(prompt)
    )
    # Without a prompt (raw text, no BOS) nothing predicts the first token.
    mask = group.response_masks[k] & (part["positions"] > 0)
    parts.append({**part, "response_mask": mask})
  places = {
    name: np.concatenate([part[name] for part in parts]) for name in parts[0]
  }
  present = np.arange(num_answers) < group.size
  return {
    **places,
    **group.features,
    "present": present.astype(np.float32),
    # One for each, which packing counts.
    "segments": np.ones(1 if share_prompt else group.size, bool),
  }


def _part(
  tokens: np.ndarray, *, branch: int, answer: int, first_position: int
) -> dict[str, np.ndarray]:
  length = len(tokens)
  return {
    "tokens": tokens,
    "response_mask": np.zeros(length, bool),
    "branch": np.full(length, branch, np.int32),
    "answer": np.full(length, answer, np.int32),
    "positions": np.arange(first_position, first_position + length),
  }
