# SPDX-License-Identifier: Apache-2.0
"""Packed answers: whole, once, and what belongs to them in its place."""

import numpy as np
import pytest
import tiny_rollouts

from ramjax.evals import likelihood
from ramjax.trainers import rollout_batches
from ramjax.trainers.rollout_batches import Places


def _place(lengths, *, row_length, multiple=1, groups=None):
  prompts, responses = np.array(lengths).T
  return rollout_batches.place(
    prompts,
    responses,
    row_length=row_length,
    multiple=multiple,
    groups=None if groups is None else np.array(groups),
  )


def test_the_longest_go_first_into_the_first_row_with_room():
  places = _place([(1, 2), (2, 3), (1, 1), (2, 2)], row_length=8)
  # 5 and 3 fill the first row; 4 and 2 go into the second.
  assert places.rows.tolist() == [0, 0, 1, 1]
  assert places.starts.tolist() == [5, 0, 4, 0]
  assert places.firsts.tolist() == [5, 1, 4, 1]
  assert places.segments.tolist() == [2, 1, 2, 1]
  assert (places.num_rows, places.row_length) == (2, 8)
  assert places.branches is None


def test_a_row_holds_no_more_prompts_than_segments_that_are_allowed():
  places = _place([(1, 1)] * 40, row_length=100)
  # 16 to a row of up to 128 tokens, though 50 would fit.
  assert np.bincount(places.rows).tolist() == [16, 16, 8]
  assert places.segments.max() == 16
  together = _place([(1, 1)] * 40, row_length=100, groups=[0] * 40)
  assert set(together.rows.tolist()) == {0}


def test_a_batch_by_hand():
  rollout = tiny_rollouts.random_rollout([(2, 1), (1, 2)], max_new_tokens=2)
  rollout = tiny_rollouts.replaced(
    rollout,
    prompts=np.array([[11, 12], [21, 0]], np.int32),
    responses=np.array([[13, 0], [22, 23]], np.int32),
  )
  places = Places(
    rows=np.array([0, 0]),
    starts=np.array([3, 0]),
    firsts=np.array([4, 0]),
    segments=np.array([2, 1]),
    branches=None,
    num_rows=2,
    row_length=7,
  )
  batch = rollout_batches.pack(
    rollout,
    np.array([0, 1]),
    places,
    {"x": np.array([[0.5, 9], [0.25, 0.75]], np.float32)},
  )
  assert batch.tokens[0].tolist() == [21, 22, 23, 11, 12, 13, 0]
  assert batch.segment_ids[0].tolist() == [1, 1, 1, 2, 2, 2, 0]
  assert batch.sample_ids[0].tolist() == [2, 2, 2, 0, 1, 1, 0]
  assert batch.positions[0].tolist() == [0, 1, 2, 0, 1, 2, 0]
  assert batch.branch_ids is None
  assert batch.response_mask[0].tolist() == [
    False, True, True, False, False, True, False,
  ]  # fmt: skip
  assert batch.features["x"][0].tolist() == [0.25, 0.75, 0, 0, 0.5, 0, 0]
  for array in (
    batch.tokens, batch.response_mask, batch.segment_ids, batch.positions,
    batch.sample_ids, batch.features["x"],
  ):  # fmt: skip
    assert not array[1].any()
  assert rollout_batches.count_tokens(batch) == (14, 6, 3)


def test_a_shared_prompt_stands_once_and_its_last_token_before_each_answer():
  rollout = tiny_rollouts.random_rollout(
    [(3, 1), (1, 1), (3, 2)], max_new_tokens=2
  )
  rollout = tiny_rollouts.replaced(
    rollout,
    prompts=np.array([[11, 12, 13], [21, 0, 0], [11, 12, 13]], np.int32),
    responses=np.array([[14, 0], [22, 0], [15, 16]], np.int32),
  )
  places = tiny_rollouts.packed(rollout, 10, groups=np.array([7, 8, 7]))
  batch = rollout_batches.pack(
    rollout,
    np.arange(3),
    places,
    {"x": np.array([[0.5, 9], [0.25, 9], [0.75, 1]], np.float32)},
  )
  assert batch.tokens.tolist() == [[11, 12, 13, 14, 13, 15, 16, 21, 22, 0]]
  assert batch.segment_ids[0].tolist() == [1, 1, 1, 1, 1, 1, 1, 2, 2, 0]
  assert batch.branch_ids[0].tolist() == [0, 0, 1, 1, 2, 2, 2, 1, 1, 0]
  assert batch.sample_ids[0].tolist() == [0, 0, 1, 1, 3, 3, 3, 2, 2, 0]
  assert batch.positions[0].tolist() == [0, 1, 2, 3, 2, 3, 4, 0, 1, 0]
  assert np.flatnonzero(batch.response_mask[0]).tolist() == [3, 5, 6, 8]
  assert batch.features["x"][0].tolist() == [
    0, 0, 0.5, 0, 0.75, 1, 0, 0.25, 0, 0,
  ]  # fmt: skip
  np.testing.assert_array_equal(
    rollout_batches.unpack(batch.features["x"], rollout, np.arange(3), places),
    [[0.5, 0], [0.25, 0], [0.75, 1]],
  )


def test_answers_that_fit_no_row_together_repeat_the_prompt():
  # A prompt of 3 and answers of 4: 2 + 5 + 5 fill a row, and no third fits.
  places = _place([(3, 4)] * 5, row_length=12, groups=[0] * 5)
  assert places.rows.tolist() == [0, 0, 1, 1, 2]
  assert places.branches.tolist() == [1, 2, 1, 2, 1]
  assert places.firsts.tolist() == [2, 7, 2, 7, 2]
  # Were none shared, a row would hold one: they would be 5.
  assert places.num_rows == 3


def test_every_sample_is_whole_placed_once_and_apart_from_the_others():
  rng = np.random.default_rng(0)
  lengths = [(p, r) for p, r in rng.integers(1, 9, (40, 2))]
  places = _place(lengths, row_length=16, multiple=2)
  taken = np.zeros((places.num_rows, places.row_length), int)
  for (prompt, response), row, start, first in zip(
    lengths, places.rows, places.starts, places.firsts, strict=True
  ):
    assert first == start + prompt - 1
    assert start + prompt + response <= places.row_length
    taken[row, start : start + prompt + response] += 1
  assert taken.max() == 1 and taken.sum() == sum(map(sum, lengths))
  ids = list(zip(places.rows, places.segments, strict=True))
  assert len(set(ids)) == len(ids) and places.segments.min() == 1


def test_features_stand_where_their_token_is_predicted():
  rollout = tiny_rollouts.random_rollout()
  chosen = np.array([6, 1, 4, 0, 7])
  some = tiny_rollouts.replaced(
    rollout,
    prompt_lengths=rollout.prompt_lengths[chosen],
    response_lengths=rollout.response_lengths[chosen],
  )
  places = tiny_rollouts.packed(some, 12)
  batch = rollout_batches.pack(
    rollout, chosen, places, {"ids": rollout.responses.astype(np.float32)}
  )
  targets, mask = likelihood.next_token_targets(batch)
  np.testing.assert_array_equal(
    batch.features["ids"], np.where(mask, targets, 0)
  )
  assert mask.sum() == rollout.response_lengths[chosen].sum()
  assert len(set(places.rows.tolist())) < len(chosen)


def test_unpacking_gives_back_what_was_packed():
  rollout = tiny_rollouts.random_rollout()
  chosen = np.array([7, 2, 5, 3])
  places = rollout_batches.place(
    rollout.prompt_lengths[chosen],
    rollout.response_lengths[chosen],
    row_length=16,
    multiple=1,
  )
  values = {"values": rollout.values}
  batch = rollout_batches.pack(rollout, chosen, places, values)
  np.testing.assert_array_equal(
    rollout_batches.unpack(batch.features["values"], rollout, chosen, places),
    rollout.values[chosen],
  )


@pytest.mark.parametrize("multiple", [1, 2, 8])
@pytest.mark.parametrize("num", [1, 8, 20, 33])
def test_there_are_few_numbers_of_rows_and_all_can_be_split(num, multiple):
  rng = np.random.default_rng(num)
  most = -(-num // multiple) * multiple
  few = {parts * multiple for parts in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)}
  for longest in range(2, 33):
    lengths = rng.integers(min(2, longest), longest + 1, num)
    places = _place(
      [(1, length - 1) for length in lengths], row_length=32, multiple=multiple
    )
    needed = places.rows.max() + 1
    assert needed <= places.num_rows <= most
    # A third is empty at most, beyond what the multiple asks for.
    assert places.num_rows < 1.5 * (needed + multiple)
    # The most there can be is one, too.
    assert places.num_rows in few | {most}


def test_answers_that_fill_a_row_each_take_no_row_more():
  assert _place([(1, 31)] * 33, row_length=32).num_rows == 33


def test_short_answers_fill_rows_of_many():
  # 128 answers of 8 tokens behind prompts of 8: 16 to a row of 256.
  assert _place([(8, 8)] * 128, row_length=256).num_rows == 8


def test_prompts_are_repeated_where_that_takes_fewer_rows():
  # A prompt of 2 and its 4 answers take 205 of 384 places, and no second four
  # fits beside them; with a prompt each, 7 answers do.
  lengths, groups = [(2, 50)] * 128, np.repeat(np.arange(32), 4)
  places = _place(lengths, row_length=384, groups=groups)
  apart = _place(lengths, row_length=384)
  assert places.num_rows == apart.num_rows == 24
  assert set(places.branches) == {1}
  # Of short answers the prompt is most: it stands once.
  places = _place([(20, 2)] * 128, row_length=384, groups=groups)
  assert places.branches.max() == 4
  assert places.num_rows < _place([(20, 2)] * 128, row_length=384).num_rows
