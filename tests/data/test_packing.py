# SPDX-License-Identifier: Apache-2.0
"""Rows of batches: every example once, order, mixtures, shares, exact resume."""

import collections

import numpy as np
import pytest

from ramjax.data import packing

# A batch is the stacked rows as they are: example i is 2 to 9 times number i.
LAYOUT = packing.Layout(
  features=lambda example: {"ids": example, "first": example[:1]},
  lengths={"ids": 16, "first": 8},
  to_batch=lambda row: row,
)


def _examples(num, *, first_id=1):
  return [np.full(2 + (i * 5) % 8, first_id + i, np.int32) for i in range(num)]


def _train(sources, layout=LAYOUT, **changes):
  options = dict(weights=[1.0] * len(sources), batch_size=4, pack=True, seed=0)
  return packing.train_batches(sources, layout, **{**options, **changes})


def _take(iterator, num):
  taken = [next(iterator) for _ in range(num)]
  iterator.close()
  return taken


def _found(batches):
  """Number and length of every example of some batches, row by row."""
  found = []
  for batch in batches:
    for row, ids in zip(batch["ids"], batch["ids_segment_ids"], strict=True):
      for segment in range(1, ids.max() + 1):
        (example,) = set(row[ids == segment].tolist())
        found.append((example, int((ids == segment).sum())))
  return found


def _numbers(batches):
  return [example for example, _ in _found(batches)]


def test_examples_stay_whole_and_positions_restart():
  taken = _take(_train([_examples(20)]), 10)
  for example, length in _found(taken):
    assert length == 2 + ((example - 1) * 5) % 8
  for batch in taken:
    ids, positions = batch["ids_segment_ids"], batch["ids_positions"]
    starts = np.diff(ids, axis=1, prepend=0) > 0
    assert np.all(positions[starts] == 0)
    inside = (np.diff(ids, axis=1) == 0) & (ids[:, 1:] > 0)
    assert np.all(np.diff(positions, axis=1)[inside] == 1)


def test_features_lie_in_the_order_of_their_examples():
  for batch in _take(_train([_examples(20)]), 5):
    for row in range(4):
      ids = batch["ids_segment_ids"][row]
      for segment in range(1, ids.max() + 1):
        first = batch["first"][row, segment - 1]
        assert first == batch["ids"][row][ids == segment][0]
      assert not batch["first"][row, ids.max() :].any()


@pytest.mark.parametrize(
  ("length", "most"),
  [(8, 16), (128, 16), (256, 32), (1024, 128), (4096, 128), (8192, 256)],
)
def test_segments_of_a_row_by_hand(length, most):
  assert packing.most_segments(length) == most


def test_packing_fills_rows():
  layout = packing.Layout(
    LAYOUT.features, {"ids": 64, "first": 64}, LAYOUT.to_batch
  )
  taken = _take(_train([_examples(400)], layout), 20)
  filled = np.mean([batch["ids_segment_ids"] > 0 for batch in taken])
  assert filled > 0.95


@pytest.mark.parametrize("most", [1, 2])
def test_a_row_holds_no_more_examples_than_allowed(most):
  layout = packing.Layout(
    LAYOUT.features, LAYOUT.lengths, LAYOUT.to_batch, max_per_row=most
  )
  for batch in _take(_train([_examples(50)], layout), 10):
    assert batch["ids_segment_ids"].max() == most


def test_an_unpacked_row_holds_one_example():
  for batch in _take(_train([_examples(20)], pack=False), 5):
    assert (batch["ids_segment_ids"].max(axis=1) == 1).all()


def test_an_epoch_holds_every_example_once_and_each_epoch_another_order():
  taken = _take(_train([_examples(8)], pack=False), 4)
  first, second = _numbers(taken[:2]), _numbers(taken[2:])
  assert sorted(first) == sorted(second) == list(range(1, 9))
  assert first != second


def test_the_seed_decides_the_order():
  def order(seed):
    return _numbers(_take(_train([_examples(30)], seed=seed), 4))

  assert order(1) == order(1) != order(2)


def test_sources_are_mixed_by_weight_whatever_their_size():
  many, few = _examples(300), _examples(10, first_id=1001)
  taken = _take(_train([many, few], weights=[1.0, 3.0], pack=False), 100)
  count = collections.Counter(number > 1000 for number in _numbers(taken))
  assert abs(count[True] / 400 - 0.75) < 0.02


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("consumed", [1, 7])
def test_an_iterator_restored_from_its_state_goes_on_exactly(pack, consumed):
  sources = [_examples(50), _examples(20, first_id=1001)]
  iterator = _train(sources, pack=pack, weights=[2.0, 1.0])
  for _ in range(consumed):
    next(iterator)
  state = iterator.get_state()
  expected = _take(iterator, 6)
  resumed = _train(sources, pack=pack, weights=[2.0, 1.0])
  resumed.set_state(state)
  for one, other in zip(_take(resumed, 6), expected, strict=True):
    assert one.keys() == other.keys()
    for name in one:
      np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("num", [1, 7, 8, 33])
def test_evaluation_sees_every_example_exactly_once(pack, num):
  made = packing.eval_batches(_examples(num), LAYOUT, batch_size=4, pack=pack)
  assert sorted(_numbers(made)) == list(range(1, num + 1))
  assert all(batch["ids"].shape == (4, 16) for batch in made)
  if not pack:
    assert _numbers(made) == list(range(1, num + 1))


def test_the_last_batch_is_filled_with_empty_rows():
  made = packing.eval_batches(_examples(5), LAYOUT, batch_size=4, pack=False)
  assert len(made) == 2
  for name, values in made[1].items():
    assert values[0].any() == (name != "first_positions"), name
    assert not values[1:].any(), name


@pytest.mark.parametrize(
  "sources,weights,match",
  [
    ([], [], "0 sources"),
    ([_examples(2)], [1.0, 1.0], "1 sources and 2 weights"),
    ([_examples(2)], [0.0], "weight=0.0 of source 0"),
    ([_examples(2), _examples(2)], [1.0, -2.0], "weight=-2.0 of source 1"),
    ([[]], [1.0], "source 0 has 0 examples"),
  ],
)
def test_bad_mixtures_are_refused(sources, weights, match):
  with pytest.raises(ValueError, match=match):
    _train(sources, weights=weights)


def test_nothing_to_evaluate_is_refused_with_the_remedy():
  with pytest.raises(ValueError, match="eval_rows"):
    packing.eval_batches([], LAYOUT, batch_size=2, pack=True)
