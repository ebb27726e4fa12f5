# SPDX-License-Identifier: Apache-2.0
"""A model of a few thousand parameters and batches for it, for tests."""

import numpy as np

from ramjax.data.batches import TokenBatch
from ramjax.models.config import LlamaConfig

CONFIG = LlamaConfig(
  vocab_size=48,
  width=16,
  mlp_width=32,
  num_layers=2,
  num_heads=4,
  num_kv_heads=4,
  head_dim=8,
)


def examples(num: int, *, seed: int = 0, longest: int = 12):
  """`num` pairs of token ids [n] and response mask [n], 3 <= n <= longest."""
  rng = np.random.default_rng(seed)
  result = []
  for _ in range(num):
    length = int(rng.integers(3, longest + 1))
    tokens = rng.integers(1, CONFIG.vocab_size, length)
    result.append((tokens, np.arange(length) >= rng.integers(1, length)))
  return result


def batch(rows, *, length: int) -> TokenBatch:
  """Rows of examples side by side, padded to `length`."""
  shape = (len(rows), length)
  tokens, segments, positions = (np.zeros(shape, np.int32) for _ in range(3))
  mask = np.zeros(shape, bool)
  for i, row in enumerate(rows):
    start = 0
    for segment, (ids, supervised) in enumerate(row, 1):
      place = slice(start, start + len(ids))
      tokens[i, place] = ids
      mask[i, place] = supervised
      segments[i, place] = segment
      positions[i, place] = np.arange(len(ids))
      start += len(ids)
  return TokenBatch(tokens, mask, segments, positions)
