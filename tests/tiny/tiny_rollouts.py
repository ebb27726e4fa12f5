# SPDX-License-Identifier: Apache-2.0
"""Random rollouts of a few short answers, for tests."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from tiny_groups import CONFIG

from ramjax.data.batches import TokenBatch
from ramjax.trainers import rollout_batches
from ramjax.trainers.rollout import Rollout

# Tokens of prompt and answer, with the shortest there are.
LENGTHS = ((1, 1), (4, 5), (2, 3), (6, 1), (1, 6), (3, 4), (5, 2), (2, 6))
FEATURES = (
  "old_logps", "ref_logps", "drawn_logps", "values", "advantages", "returns",
)  # fmt: skip


def random_rollout(
  lengths: Sequence[tuple[int, int]] = LENGTHS,
  *,
  seed: int = 0,
  max_new_tokens: int = 6,
  vocab_size: int = CONFIG.vocab_size,
) -> Rollout:
  """A rollout of random tokens and numbers, all of them 0 beyond an answer."""
  rng = np.random.default_rng(seed)
  num = len(lengths)
  prompt_lengths = np.array([p for p, _ in lengths], np.int32)
  response_lengths = np.array([r for _, r in lengths], np.int32)

  def tokens(counts: np.ndarray, width: int) -> np.ndarray:
    drawn = rng.integers(1, vocab_size, (num, width))
    return np.where(np.arange(width) < counts[:, None], drawn, 0).astype(
      np.int32
    )

  mask = np.arange(max_new_tokens) < response_lengths[:, None]

  def numbers(mean: float, deviation: float) -> np.ndarray:
    drawn = rng.normal(mean, deviation, mask.shape)
    return np.where(mask, drawn, 0).astype(np.float32)

  old_logps = numbers(-3.5, 0.5)
  return Rollout(
    prompts=tokens(prompt_lengths, int(prompt_lengths.max())),
    prompt_lengths=prompt_lengths,
    responses=tokens(response_lengths, max_new_tokens),
    response_lengths=response_lengths,
    drawn_logps=np.where(mask, old_logps + numbers(0, 0.3), 0),
    old_logps=old_logps,
    ref_logps=np.where(mask, old_logps + numbers(0, 0.3), 0),
    values=numbers(0, 1),
    advantages=numbers(0, 1),
    returns=numbers(0, 1),
    scores=rng.normal(0, 1, num).astype(np.float32),
  )


def features(rollout: Rollout) -> dict[str, np.ndarray]:
  """What an update takes along, but for the weights."""
  return {name: getattr(rollout, name) for name in FEATURES}


def grouped(rollout: Rollout, size: int) -> Rollout:
  """The answers of each `size` samples behind the prompt of the first."""
  first = np.arange(len(rollout.scores)) // size * size
  return dataclasses.replace(
    rollout,
    prompts=rollout.prompts[first],
    prompt_lengths=rollout.prompt_lengths[first],
  )


def row_each(rollout: Rollout, row_length: int) -> rollout_batches.Places:
  """Every sample in a row of its own."""
  num = len(rollout.scores)
  return rollout_batches.Places(
    rows=np.arange(num),
    starts=np.zeros(num, int),
    firsts=rollout.prompt_lengths - 1,
    segments=np.ones(num, int),
    branches=None,
    num_rows=num,
    row_length=row_length,
  )


def packed(
  rollout: Rollout,
  row_length: int,
  multiple: int = 1,
  groups: np.ndarray | None = None,
) -> rollout_batches.Places:
  """Samples in as few rows as they fit in."""
  return rollout_batches.place(
    rollout.prompt_lengths,
    rollout.response_lengths,
    row_length=row_length,
    multiple=multiple,
    groups=groups,
  )


def plain_rows(rollout: Rollout, length: int) -> TokenBatch:
  """Each sample in an ordinary row, written out apart from `pack`."""
  num = len(rollout.scores)
  tokens, segments, positions = (
    np.zeros((num, length), np.int32) for _ in range(3)
  )
  mask = np.zeros((num, length), bool)
  for i in range(num):
    prompt = rollout.prompts[i, : rollout.prompt_lengths[i]].tolist()
    answer = rollout.responses[i, : rollout.response_lengths[i]].tolist()
    for t, token in enumerate(prompt + answer):
      tokens[i, t], segments[i, t], positions[i, t] = token, 1, t
      mask[i, t] = t >= len(prompt)
  return TokenBatch(tokens, mask, segments, positions)


def replaced(rollout: Rollout, **fields: Any) -> Rollout:
  """A copy with other fields."""
  return dataclasses.replace(rollout, **fields)
