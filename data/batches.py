# SPDX-License-Identifier: Apache-2.0
"""Tokenised SFT examples -> batches of packed or padded rows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import grain
import numpy as np

from ramjax.data import packing
from ramjax.data.tokenize_rows import Example


class TokenBatch(NamedTuple):
  """Packed or padded rows; every field is [B, T].

  Attributes:
    tokens: int32 token ids; padding holds 0.
    response_mask: bool, True where the token itself is supervised.
    segment_ids: int32, 1, 2, ... per example in a row; 0 is padding.
    positions: int32, restarting at 0 in each segment.
  """

  tokens: np.ndarray
  response_mask: np.ndarray
  segment_ids: np.ndarray
  positions: np.ndarray


def train_batches(
  sources: Sequence[Sequence[Example]],
  *,
  weights: Sequence[float],
  length: int,
  batch_size: int,
  pack: bool,
  seed: int,
) -> grain.DatasetIterator:
  """Endless shuffled `TokenBatch`es of T = `length`; `packing.train_batches`.

  Raises:
    ValueError: See there.
  """
  return packing.train_batches(
    sources,
    _layout(length),
    weights=weights,
    batch_size=batch_size,
    pack=pack,
    seed=seed,
  )


def eval_batches(
  examples: Sequence[Example], *, length: int, batch_size: int, pack: bool
) -> list[TokenBatch]:
  """Every example exactly once; the last batch is padded with empty rows.

  Raises:
    ValueError: There are no examples.
  """
  return packing.eval_batches(
    examples, _layout(length), batch_size=batch_size, pack=pack
  )


def _layout(length: int) -> packing.Layout:
  return packing.Layout(
    features=lambda example: {
      "tokens": example.tokens,
      "response_mask": example.response_mask,
    },
    lengths={"tokens": length, "response_mask": length},
    to_batch=_to_batch,
    max_per_row=packing.most_segments(length),
  )


def _to_batch(row: dict[str, np.ndarray]) -> TokenBatch:
  return TokenBatch(
    tokens=row["tokens"].astype(np.int32),
    response_mask=row["response_mask"].astype(bool),
    segment_ids=row["tokens_segment_ids"].astype(np.int32),
    positions=row["tokens_positions"].astype(np.int32),
  )


def count_tokens(batches: Iterable[TokenBatch]) -> tuple[int, int, int]:
  """Places, tokens and supervised tokens in `batches`."""
  places = tokens = supervised = 0
  for batch in batches:
    places += batch.tokens.size
    tokens += int(np.count_nonzero(batch.segment_ids))
    supervised += int(np.count_nonzero(batch.response_mask))
  return places, tokens, supervised
