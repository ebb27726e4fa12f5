# SPDX-License-Identifier: Apache-2.0
"""Rows of any lengths in batches of few shapes, because each is compiled."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.batches import TokenBatch

# Tokens of a batch at most, padding among them (but a row for each device):
# sixteen texts of 2,048, or one of 32,768.
MOST_TOKENS = 32_768
# Rows are padded to this length times 1, 1.5, 2, 3, 4, 6, 8 ...
_SHORTEST = 32


class Row(NamedTuple):
  """A tokenised text.

  Attributes:
    tokens: [n] int32, n at least 1.
    mask: [n] bool, True where the token itself counts.
  """

  tokens: np.ndarray
  mask: np.ndarray


def padded_batches(
  rows: Sequence[Row], *, batch_size: int, multiple: int
) -> Iterator[tuple[list[int], TokenBatch]]:
  """Every row exactly once, the longest first, each alone in a row of a batch.

  Args:
    rows: In any order.
    batch_size: Rows of a batch at most, at least 1; fewer where padded they
      would be more than `MOST_TOKENS`.
    multiple: Ways that the rows of a batch are split: the number of rows is
      rounded up to a multiple of it. Rows that are left over are empty.

  Yields:
    The index in `rows` of each row of the batch that is not empty, which come
    first, and the batch.

  Raises:
    ValueError: `batch_size` is below 1.
  """
  if batch_size < 1:
    raise ValueError(f"batch_size={batch_size} must be at least 1.")
  # Of equal lengths the first comes first.
  order = sorted(range(len(rows)), key=lambda i: -len(rows[i].tokens))
  start = 0
  while start < len(order):
    length = padded_length(len(rows[order[start]].tokens))
    # As many in the last batch, for the sake of its shape.
    num_rows = min(batch_size, len(order), max(1, MOST_TOKENS // length))
    num_rows = -(-num_rows // multiple) * multiple
    indices = order[start : start + num_rows]
    yield indices, _padded([rows[i] for i in indices], num_rows, length)
    start += num_rows


def padded_length(length: int) -> int:
  """The shortest length in use that `length` fits in.

  >>> padded_length(1), padded_length(33), padded_length(49)
  (32, 48, 64)
  """
  padded = _SHORTEST
  while padded < length:
    # 1.5 times a power of two, and then the next power.
    padded = padded * 3 // 2 if padded & (padded - 1) == 0 else padded * 4 // 3
  return padded


def _padded(rows: Sequence[Row], num_rows: int, length: int) -> TokenBatch:
  tokens = np.zeros((num_rows, length), np.int32)
  mask = np.zeros((num_rows, length), np.bool_)
  segments = np.zeros((num_rows, length), np.int32)
  for i, row in enumerate(rows):
    tokens[i, : len(row.tokens)] = row.tokens
    mask[i, : len(row.tokens)] = row.mask
    segments[i, : len(row.tokens)] = 1
  positions = np.arange(length, dtype=np.int32)
  positions = np.tile(positions, (num_rows, 1))
  return TokenBatch(tokens, mask, segments, positions)
