# SPDX-License-Identifier: Apache-2.0
"""The batches that `ramjax bench attention` measures, and what they need."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ramjax.tools import bench_calls

# Of a packed row, in eighths.
_SEGMENTS = (1, 1, 2, 4)
FORMULA = (
  "FLOP = 4 N H p forward and 12 N H p with the backward pass: N query heads, H"
  " head_dim, p (query, key) pairs of causal attention within the segments, n"
  " (n + 1) / 2 for one of n tokens; a packed row has segments of 1/8, 1/8, 1/4"
  " and 1/2. What is masked or recomputed counts as nothing. Bytes a token = 2"
  " (N + K) H s forward and 4 (N + K) H s with the backward pass: K key heads of"
  f" numbers of s bytes, each read or written once. {bench_calls.FORMULA}"
)


class Size(NamedTuple):
  """What is measured.

  Attributes:
    tokens: Of a batch, whatever the length of its rows.
    lengths: T, tokens of a row; each divides `tokens`.
    head_dims: H.
    num_heads: N.
    num_kv_heads: K.
  """

  tokens: int
  lengths: Sequence[int]
  head_dims: Sequence[int]
  num_heads: int
  num_kv_heads: int


SIZES: Mapping[str, Size] = {
  "tiny": Size(64, (32,), (8,), 2, 1),
  "small": Size(1024, (512, 1024), (64, 128), 4, 2),
  # Llama 3's heads, and at most 9 GB for the scores of its longest row.
  "large": Size(8192, (2048, 4096, 8192), (64, 128), 32, 8),
}


class Shape(NamedTuple):
  """One batch: [B, T, N, H] queries, [B, T, K, H] keys and values."""

  rows: int
  length: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  packed: bool


def shapes(size: Size) -> Iterator[Shape]:
  """Every length, head_dim and packing of a size."""
  for head_dim in size.head_dims:
    for length in size.lengths:
      for packed in (False, True):
        yield Shape(
          size.tokens // length,
          length,
          size.num_heads,
          size.num_kv_heads,
          head_dim,
          packed,
        )


def segment_lengths(shape: Shape) -> list[int]:
  """Tokens of each segment of a row."""
  if not shape.packed:
    return [shape.length]
  return [shape.length * part // sum(_SEGMENTS) for part in _SEGMENTS]


def work(shape: Shape, *, backward: bool, itemsize: int) -> tuple[float, float]:
  """Operations and bytes that a shape needs: see the formula that is printed.

  Args:
    shape: The batch.
    backward: With the gradients of queries, keys and values.
    itemsize: Bytes of a number.
  """
  pairs = shape.rows * sum(n * (n + 1) // 2 for n in segment_lengths(shape))
  tokens = shape.rows * shape.length
  heads = shape.num_heads + shape.num_kv_heads
  flops = 4.0 * shape.num_heads * shape.head_dim * pairs
  num_bytes = 2.0 * heads * shape.head_dim * itemsize * tokens
  return (3 * flops, 2 * num_bytes) if backward else (flops, num_bytes)
