# SPDX-License-Identifier: Apache-2.0
"""Sampled answers into packed rows, and per-token results back out of them.

Whatever belongs to a response token stands where that token is predicted: one
place before it, as in every batch here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.trainers.rollout import Rollout

# Rows of a batch come in this many sizes: as few as can hold the answers, with
# as few programs to compile.
_SIZES = 4
# Of NumPy as made here, of JAX within a compiled function.
_Array = Any


class RolloutBatch(NamedTuple):
  """Rows that hold whole samples, prompt and response; all arrays [B, T].

  Attributes:
    tokens: int32; padding holds 0.
    response_mask: bool, True where the token itself was sampled.
    segment_ids: int32, from 1 in each row, one a sample; 0 is padding.
    positions: int32, restarting with each sample.
    features: By name, float32 at the places that predict a response token, 0
      elsewhere.
  """

  tokens: _Array
  response_mask: _Array
  segment_ids: _Array
  positions: _Array
  features: dict[str, _Array]


class Places(NamedTuple):
  """Where samples lie.

  Attributes:
    rows: [N] int, the row of each sample.
    starts: [N] int, the column of its first token.
    segments: [N] int, its segment id.
    num_rows: Rows in all.
    row_length: Columns.
  """

  rows: np.ndarray
  starts: np.ndarray
  segments: np.ndarray
  num_rows: int
  row_length: int


def place(lengths: Sequence[int], *, row_length: int, multiple: int) -> Places:
  """First fit, longest first.

  Args:
    lengths: Tokens of each sample, at most `row_length`.
    row_length: T.
    multiple: The number of rows is one of `_SIZES` multiples of this, up to a
      row for each sample.

  Returns:
    Where each sample goes.
  """
  order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
  free: list[int] = []
  count: list[int] = []
  rows, starts, segments = (np.zeros(len(lengths), int) for _ in range(3))
  for i in order:
    fits = (row for row, left in enumerate(free) if left >= lengths[i])
    row = next(fits, len(free))
    if row == len(free):
      free.append(row_length)
      count.append(0)
    rows[i], starts[i] = row, row_length - free[row]
    free[row] -= lengths[i]
    count[row] += 1
    segments[i] = count[row]
  most = -(-len(lengths) // multiple) * multiple
  step = -(-most // (_SIZES * multiple)) * multiple
  num_rows = min(-(-len(free) // step) * step, most)
  return Places(rows, starts, segments, num_rows, row_length)


def pack(
  rollout: Rollout,
  chosen: np.ndarray,
  places: Places,
  features: Mapping[str, np.ndarray],
) -> RolloutBatch:
  """The batch of some samples of a rollout.

  Args:
    rollout: What they are from.
    chosen: [n] int, which.
    places: Of those.
    features: [N, R] arrays of the rollout to take along, by name.
  """
  shape = (places.num_rows, places.row_length)
  tokens, segment_ids, positions = (np.zeros(shape, np.int32) for _ in range(3))
  response_mask = np.zeros(shape, bool)
  placed = {name: np.zeros(shape, np.float32) for name in features}
  for i, sample in enumerate(chosen):
    prompt = int(rollout.prompt_lengths[sample])
    response = int(rollout.response_lengths[sample])
    row, start = places.rows[i], places.starts[i]
    middle, end = start + prompt, start + prompt + response
    tokens[row, start:middle] = rollout.prompts[sample, :prompt]
    tokens[row, middle:end] = rollout.responses[sample, :response]
    response_mask[row, middle:end] = True
    segment_ids[row, start:end] = places.segments[i]
    positions[row, start:end] = np.arange(prompt + response)
    for name, values in features.items():
      placed[name][row, middle - 1 : end - 1] = values[sample, :response]
  return RolloutBatch(tokens, response_mask, segment_ids, positions, placed)


def unpack(
  values: np.ndarray, rollout: Rollout, chosen: np.ndarray, places: Places
) -> np.ndarray:
  """[n, R] of per-token results [B, T]; 0 beyond each response."""
  out = np.zeros((len(chosen), rollout.responses.shape[1]), np.float32)
  for i, sample in enumerate(chosen):
    response = rollout.response_lengths[sample]
    first = places.starts[i] + rollout.prompt_lengths[sample] - 1
    out[i, :response] = values[places.rows[i], first : first + response]
  return out


def count_tokens(batch: RolloutBatch) -> tuple[int, int, int]:
  """Places, tokens and sampled tokens of a batch."""
  return (
    batch.tokens.size,
    int(np.count_nonzero(batch.segment_ids)),
    int(np.count_nonzero(batch.response_mask)),
  )
