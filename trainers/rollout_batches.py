# SPDX-License-Identifier: Apache-2.0
"""Sampled answers into packed rows, and per-token results back out of them.

Whatever belongs to a response token stands where that token is predicted: one
place before it, as in every batch here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.data import packing
from ramjax.trainers.rollout import Rollout

# From a number of rows to its double there are this many sizes: beyond what
# `multiple` asks for a third of the rows is empty at most, and answers that grow
# tenfold take 7 programs to compile.
_SIZES = 2
# Of NumPy as made here, of JAX within a compiled function.
_Array = Any


class RolloutBatch(NamedTuple):
  """Rows that hold whole samples, prompt and response; all arrays [B, T].

  Where samples share a prompt it stands once, less its last token; each sample
  then begins with that token, so that it predicts its own first one.

  Attributes:
    tokens: int32; padding holds 0.
    response_mask: bool, True where the token itself was sampled.
    segment_ids: int32, from 1 in each row, one a prompt as it stands there; 0 is
      padding.
    branch_ids: int32, 0 for a shared prompt and 1, 2, ... for its samples; None
      where no prompt is shared.
    positions: int32, as if each sample followed its prompt alone.
    sample_ids: int32, from 1 in each row, for the prompt's last token and the
      response of each sample; 0 elsewhere.
    features: By name, float32 at the places that predict a response token, 0
      elsewhere.
  """

  tokens: _Array
  response_mask: _Array
  segment_ids: _Array
  branch_ids: _Array | None
  positions: _Array
  sample_ids: _Array
  features: dict[str, _Array]


class Places(NamedTuple):
  """Where samples lie.

  Attributes:
    rows: [N] int, the row of each sample.
    starts: [N] int, the column of its prompt's first token.
    firsts: [N] int, the column of its prompt's last token, which predicts its
      first.
    segments: [N] int, its segment id.
    branches: [N] int, its branch id; None where no prompt is shared.
    num_rows: Rows in all.
    row_length: Columns.
  """

  rows: np.ndarray
  starts: np.ndarray
  firsts: np.ndarray
  segments: np.ndarray
  branches: np.ndarray | None
  num_rows: int
  row_length: int


def place(
  prompt_lengths: np.ndarray,
  response_lengths: np.ndarray,
  *,
  row_length: int,
  multiple: int,
  groups: np.ndarray | None = None,
) -> Places:
  """First fit, longest first; samples that share a prompt stay together.

  Unless they take fewer rows with a prompt each.

  Args:
    prompt_lengths: [N] int, tokens of each sample's prompt, at least 1.
    response_lengths: [N] int; a prompt and its response fit a row.
    row_length: T.
    multiple: Divides the number of rows, of which there are as few as hold the
      samples, but for rounding up to one of few numbers.
    groups: [N] int, equal where the prompt is the same and may stand once;
      None computes it for every sample.

  Returns:
    Where each sample goes.
  """
  num = len(prompt_lengths)
  lengths = (prompt_lengths, response_lengths)
  bundles = [[i] for i in range(num)]
  fitted = _first_fit(bundles, *lengths, row_length)
  if groups is not None:
    together = _bundles(groups, *lengths, row_length)
    fewer = _first_fit(together, *lengths, row_length)
    # A bundle of just over half a row leaves the rest of it empty.
    if len(fewer) <= len(fitted):
      bundles, fitted = together, fewer
  rows, starts, firsts, segments, branches = np.zeros((5, num), int)
  for row, held in enumerate(fitted):
    start = 0
    for segment, at in enumerate(held, 1):
      first = start + int(prompt_lengths[bundles[at][0]]) - 1
      for branch, i in enumerate(bundles[at], 1):
        rows[i], segments[i], branches[i] = row, segment, branch
        starts[i], firsts[i] = start, first
        first += 1 + int(response_lengths[i])
      start += _size(bundles[at], *lengths)
  # No more than a row for each.
  most = -(-num // multiple) * multiple
  return Places(
    rows=rows,
    starts=starts,
    firsts=firsts,
    segments=segments,
    branches=None if groups is None else branches,
    num_rows=min(_rounded_up(len(fitted), multiple), most),
    row_length=row_length,
  )


def _first_fit(
  bundles: Sequence[Sequence[int]],
  prompt_lengths: np.ndarray,
  response_lengths: np.ndarray,
  row_length: int,
) -> list[list[int]]:
  """The bundles of each row, in its order: first fit, longest first."""
  sizes = [_size(b, prompt_lengths, response_lengths) for b in bundles]
  most = packing.most_segments(row_length)
  free: list[int] = []
  held: list[list[int]] = []
  for at in sorted(range(len(bundles)), key=lambda at: -sizes[at]):
    fits = (
      row
      for row, left in enumerate(free)
      if left >= sizes[at] and len(held[row]) < most
    )
    row = next(fits, len(free))
    if row == len(free):
      free.append(row_length)
      held.append([])
    free[row] -= sizes[at]
    held[row].append(at)
  return held


def _rounded_up(num_rows: int, multiple: int) -> int:
  parts = -(-num_rows // multiple)
  step = max(1, 2 ** (parts.bit_length() - 1) // _SIZES)
  return -(-parts // step) * step * multiple


def _bundles(
  groups: np.ndarray,
  prompt_lengths: np.ndarray,
  response_lengths: np.ndarray,
  row_length: int,
) -> list[list[int]]:
  """Samples of a prompt, as many together as fit a row."""
  open_bundle: dict[int, list[int]] = {}
  bundles: list[list[int]] = []
  for i, group in enumerate(groups.tolist()):
    bundle = open_bundle.get(group)
    if bundle is None or row_length < _size(
      [*bundle, i], prompt_lengths, response_lengths
    ):
      bundle = open_bundle[group] = []
      bundles.append(bundle)
    bundle.append(i)
  return bundles


def _size(
  bundle: Sequence[int],
  prompt_lengths: np.ndarray,
  response_lengths: np.ndarray,
) -> int:
  """Places that samples take which share a prompt."""
  branches = sum(1 + int(response_lengths[i]) for i in bundle)
  return int(prompt_lengths[bundle[0]]) - 1 + branches


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
  tokens, segment_ids, branch_ids, positions, sample_ids = np.zeros(
    (5, *shape), np.int32
  )
  response_mask = np.zeros(shape, bool)
  placed = {name: np.zeros(shape, np.float32) for name in features}
  num_in_row = np.zeros(places.num_rows, np.int32)
  for i, sample in enumerate(chosen):
    shared = int(rollout.prompt_lengths[sample]) - 1
    response = int(rollout.response_lengths[sample])
    row, start, first = places.rows[i], places.starts[i], places.firsts[i]
    prefix, own = slice(start, start + shared), slice(first, first + response)
    answer = slice(first + 1, first + 1 + response)
    branch = slice(first, first + 1 + response)
    tokens[row, prefix] = rollout.prompts[sample, :shared]
    tokens[row, first] = rollout.prompts[sample, shared]
    tokens[row, answer] = rollout.responses[sample, :response]
    response_mask[row, answer] = True
    positions[row, prefix] = np.arange(shared)
    positions[row, branch] = np.arange(shared, shared + 1 + response)
    for where in (prefix, branch):
      segment_ids[row, where] = places.segments[i]
    num_in_row[row] += 1
    sample_ids[row, branch] = num_in_row[row]
    if places.branches is not None:
      branch_ids[row, branch] = places.branches[i]
    for name, values in features.items():
      placed[name][row, own] = values[sample, :response]
  return RolloutBatch(
    tokens=tokens,
    response_mask=response_mask,
    segment_ids=segment_ids,
    branch_ids=None if places.branches is None else branch_ids,
    positions=positions,
    sample_ids=sample_ids,
    features=placed,
  )


def unpack(
  values: np.ndarray, rollout: Rollout, chosen: np.ndarray, places: Places
) -> np.ndarray:
  """[n, R] of per-token results [B, T]; 0 beyond each response."""
  out = np.zeros((len(chosen), rollout.responses.shape[1]), np.float32)
  for i, sample in enumerate(chosen):
    response = rollout.response_lengths[sample]
    first = places.firsts[i]
    out[i, :response] = values[places.rows[i], first : first + response]
  return out


def count_tokens(batch: RolloutBatch) -> tuple[int, int, int]:
  """Places, tokens and sampled tokens of a batch."""
  return (
    batch.tokens.size,
    int(np.count_nonzero(batch.segment_ids)),
    int(np.count_nonzero(batch.response_mask)),
  )
