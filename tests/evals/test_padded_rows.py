# SPDX-License-Identifier: Apache-2.0
"""Rows of all lengths come once each, in few shapes."""

import numpy as np
import pytest

from ramjax.evals import padded_rows
from ramjax.evals.padded_rows import Row, padded_batches


def _rows(lengths):
  """Row i holds i in every token."""
  return [
    Row(np.full(n, i + 1, np.int32), np.arange(n) % 2 == 0)
    for i, n in enumerate(lengths)
  ]


def test_every_row_comes_once_and_whole():
  lengths = [5, 33, 1, 200, 64, 5, 32]
  rows = _rows(lengths)
  seen = []
  for indices, batch in padded_batches(rows, batch_size=3, multiple=2):
    assert len(batch.tokens) == 4  # 3, rounded up to a multiple of 2.
    for at, i in enumerate(indices):
      n = lengths[i]
      np.testing.assert_array_equal(batch.tokens[at, :n], rows[i].tokens)
      np.testing.assert_array_equal(batch.response_mask[at, :n], rows[i].mask)
      assert not batch.tokens[at, n:].any()
      assert not batch.response_mask[at, n:].any()
      np.testing.assert_array_equal(
        batch.segment_ids[at], np.arange(batch.tokens.shape[1]) < n
      )
      np.testing.assert_array_equal(
        batch.positions[at], np.arange(batch.tokens.shape[1])
      )
    assert not batch.segment_ids[len(indices) :].any()
    seen += indices
  assert sorted(seen) == list(range(len(rows)))
  assert [lengths[i] for i in seen] == sorted(lengths, reverse=True)


def test_a_thousand_lengths_have_few_shapes():
  rows = _rows(range(1, 1001))
  batches = padded_batches(rows, batch_size=16, multiple=8)
  shapes = {batch.tokens.shape for _, batch in batches}
  lengths = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
  assert shapes == {(16, n) for n in lengths}


def test_long_rows_come_fewer_at_a_time(monkeypatch):
  monkeypatch.setattr(padded_rows, "MOST_TOKENS", 128)
  rows = _rows([60, 60, 60, 20, 20, 20, 20])
  found = [
    (indices, batch.tokens.shape)
    for indices, batch in padded_batches(rows, batch_size=16, multiple=1)
  ]
  assert found == [
    ([0, 1], (2, 64)),
    ([2, 3], (2, 64)),
    ([4, 5, 6], (4, 32)),
  ]


def test_no_rows_make_no_batch_and_a_size_of_0_is_refused():
  assert list(padded_batches([], batch_size=1, multiple=8)) == []
  with pytest.raises(ValueError, match="batch_size=0"):
    list(padded_batches(_rows([1]), batch_size=0, multiple=1))


def test_lengths_are_few_and_never_too_short():
  lengths = (1, 32, 33, 48, 49, 65, 97, 2048)
  found = [padded_rows.padded_length(n) for n in lengths]
  assert found == [32, 32, 48, 48, 64, 96, 128, 2048]
