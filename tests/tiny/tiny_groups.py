# SPDX-License-Identifier: Apache-2.0
"""Groups of random answers, and small models to score them, for tests."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ramjax.data.batches import TokenBatch
from ramjax.data.tokenize_groups import Group
from ramjax.models import llama, lora
from ramjax.models.config import LlamaConfig

CONFIG = LlamaConfig(
  vocab_size=48,
  width=16,
  mlp_width=24,
  num_layers=2,
  num_heads=4,
  num_kv_heads=2,
  head_dim=8,
)
SCORED = dataclasses.replace(CONFIG, num_labels=3)

# Prompt, and answers, by their numbers of tokens: with the shortest there are.
LENGTHS = {
  1: ((1, (1,)), (5, (7,)), (9, (1,)), (2, (4,))),
  2: ((1, (1, 3)), (5, (7, 4)), (9, (2, 1)), (1, (1, 1)), (3, (6, 6))),
  3: ((1, (1, 2, 1)), (5, (3, 6, 4)), (4, (1, 1, 5))),
}


@functools.cache
def params(config: LlamaConfig = CONFIG) -> llama.Params:
  """Random parameters whose attention and outputs are far from uniform."""
  rng = np.random.default_rng(0)
  values: llama.Params = {}
  for path, shape in llama.base_shapes(config).items():
    value = rng.normal(1.0 if path[-1] == "scale" else 0.0, 0.2, shape)
    lora.put_at(values, path, value.astype(np.float32))
  return values


def random_group(
  num_prompt: int,
  num_answers: Sequence[int],
  *,
  seed: int = 0,
  vocab: tuple[int, int] = (1, CONFIG.vocab_size),
  **features: Sequence[float],
) -> Group:
  """A group of random tokens, of which a few are not supervised.

  Args:
    num_prompt: Tokens of the prompt.
    num_answers: Tokens of each answer.
    seed: Of the tokens.
    vocab: The least id, and one more than the largest.
    **features: Of the group.
  """
  rng = np.random.default_rng(seed)

  def tokens(length: int) -> np.ndarray:
    return rng.integers(*vocab, length).astype(np.int32)

  # As in answers of several turns, whose user turns are not supervised.
  masks = [rng.random(n) < 0.8 for n in num_answers]
  return Group(
    prompts=(tokens(num_prompt),),
    responses=tuple(tokens(n) for n in num_answers),
    response_masks=tuple(mask | (np.arange(len(mask)) == 0) for mask in masks),
    features={k: np.asarray(v, np.float32) for k, v in features.items()},
    num_truncated=0,
  )


def groups_of(*sizes: int) -> list[Group]:
  """Groups of so many answers each, of `LENGTHS`."""
  lengths = [pair for size in sizes for pair in LENGTHS[size]]
  return [
    random_group(num_prompt, num_answers, seed=seed)
    for seed, (num_prompt, num_answers) in enumerate(lengths)
  ]


def numbered(num: int, *, first: int = 0, size: int = 2) -> list[Group]:
  """Groups that say which they are: number i in every token and in `margins`.

  Args:
    num: How many.
    first: Number of the first one.
    size: Answers of each, of 1 to 5 tokens, after 1 to 4 tokens of prompt.
  """
  found = []
  for i in range(first, first + num):
    lengths = [1 + (i * 7 + k) % 5 for k in range(size)]
    found.append(
      Group(
        prompts=(np.full(1 + i % 4, 1000 * i, np.int32),),
        responses=tuple(
          np.full(n, 1000 * i + k + 1, np.int32) for k, n in enumerate(lengths)
        ),
        response_masks=tuple(np.ones(n, bool) for n in lengths),
        features={"margins": np.array([i], np.float32)},
        num_truncated=0,
      )
    )
  return found


def plain_rows(groups: Sequence[Group], length: int) -> TokenBatch:
  """Every answer in a row of its own, after its prompt, in ordinary rows."""
  pairs = [(group, k) for group in groups for k in range(group.size)]
  shape = len(pairs), length
  tokens, segments, positions = (np.zeros(shape, np.int32) for _ in range(3))
  mask = np.zeros(shape, bool)
  for row, (group, k) in enumerate(pairs):
    prompt = group.prompts[k % len(group.prompts)]
    end = len(prompt) + len(group.responses[k])
    tokens[row, :end] = np.concatenate([prompt, group.responses[k]])
    mask[row, len(prompt) : end] = group.response_masks[k]
    segments[row, :end] = 1
    positions[row, :end] = np.arange(end)
  return TokenBatch(tokens, mask, segments, positions)


def by_group(values: Any, batch: Any) -> dict[int, np.ndarray]:
  """Number of a group -> its values [K, ...] out of [B, G, K, ...]."""
  real = batch.features["present"][:, :, 0] > 0
  ids = batch.features["row_ids"][:, :, 0][real].astype(int)
  assert len(set(ids.tolist())) == len(ids), "a group occurs twice"
  return dict(zip(ids.tolist(), np.asarray(values)[real], strict=True))
