# SPDX-License-Identifier: Apache-2.0
"""Batches of SFT examples: tokens, masks, segments and positions."""

import numpy as np
import pytest

from ramjax.data import batches as batches_lib
from ramjax.data.tokenize_rows import Example


def _examples(num, *, first_id=1, longest=9):
  """Example i holds token first_id + i, 1 to `longest` times."""
  result = []
  for i in range(num):
    length = 2 + (i * 5) % (longest - 1)
    tokens = np.full(length, first_id + i, np.int32)
    result.append(Example(tokens, np.arange(length) >= 1, 0))
  return result


def _train(sources, **changes):
  options = dict(
    weights=[1.0] * len(sources), length=16, batch_size=4, pack=True, seed=0
  )
  return batches_lib.train_batches(sources, **{**options, **changes})


def _take(iterator, num):
  taken = [next(iterator) for _ in range(num)]
  iterator.close()
  return taken


def _segments(batch):
  """(token, length, positions) of every packed example in a batch."""
  found = []
  for row, ids in enumerate(batch.segment_ids):
    for segment in range(1, ids.max() + 1):
      at = ids == segment
      tokens = batch.tokens[row][at]
      assert len(set(tokens)) == 1, "two examples share a segment"
      found.append((int(tokens[0]), batch.positions[row][at].tolist()))
  return found


def test_packed_examples_stay_whole_with_positions_from_zero():
  examples = _examples(20)
  lengths = {i + 1: len(e.tokens) for i, e in enumerate(examples)}
  for batch in _take(_train([examples]), 10):
    for token, positions in _segments(batch):
      assert positions == list(range(lengths[token]))


def test_padding_is_segment_zero_and_never_supervised():
  for batch in _take(_train([_examples(20)]), 5):
    padding = batch.segment_ids == 0
    assert not batch.response_mask[padding].any()
    assert (batch.tokens[~padding] > 0).all()


def test_a_token_id_of_zero_is_no_padding():
  example = Example(np.zeros(5, np.int32), np.ones(5, bool), 0)
  batch = _take(_train([[example]], pack=False, batch_size=1), 1)[0]
  assert batch.segment_ids[0].tolist() == [1] * 5 + [0] * 11
  assert batch.response_mask.sum() == 5


def test_unpacked_rows_hold_one_example_each():
  for batch in _take(_train([_examples(20)], pack=False), 5):
    assert batch.segment_ids.max() == 1
    assert (batch.segment_ids[:, 0] == 1).all()


def test_packing_fills_rows():
  examples = _examples(400)
  taken = _take(_train([examples], length=64), 20)
  places, tokens, supervised = batches_lib.count_tokens(taken)
  assert tokens / places > 0.95
  # Every example supervises all but its first token.
  assert supervised == tokens - sum(len(_segments(b)) for b in taken)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("num", [1, 7, 8, 33])
def test_evaluation_sees_every_example_exactly_once(pack, num):
  made = batches_lib.eval_batches(
    _examples(num), length=16, batch_size=4, pack=pack
  )
  seen = sorted(token for batch in made for token, _ in _segments(batch))
  assert seen == list(range(1, num + 1))
  assert all(batch.tokens.shape == (4, 16) for batch in made)


def test_a_row_holds_no_more_examples_than_segments_that_are_allowed():
  one_token = Example(np.full(1, 7, np.int32), np.ones(1, bool), 0)
  made = batches_lib.eval_batches(
    [one_token] * 2000, length=64, batch_size=4, pack=True
  )
  # 16 in a row of up to 128 tokens, though 64 would fit.
  assert max(batch.segment_ids.max() for batch in made) == 16


def test_counts_by_hand():
  example = Example(np.ones(5, np.int32), np.arange(5) >= 3, 0)
  batch = batches_lib.eval_batches(
    [example], length=8, batch_size=2, pack=False
  )
  assert batches_lib.count_tokens(batch) == (16, 5, 2)
