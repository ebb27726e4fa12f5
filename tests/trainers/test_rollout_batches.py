# SPDX-License-Identifier: Apache-2.0
"""Packed answers: whole, once, and what belongs to them in its place."""

import numpy as np
import pytest
import tiny_rollouts

from ramjax.evals import likelihood
from ramjax.trainers import rollout_batches
from ramjax.trainers.rollout_batches import Places


def test_the_longest_go_first_into_the_first_row_with_room():
  places = rollout_batches.place([3, 5, 2, 4], row_length=8, multiple=1)
  # 5 and 3 fill the first row; 4 and 2 go into the second.
  assert places.rows.tolist() == [0, 0, 1, 1]
  assert places.starts.tolist() == [5, 0, 4, 0]
  assert places.segments.tolist() == [2, 1, 2, 1]
  assert (places.num_rows, places.row_length) == (2, 8)


def test_a_batch_by_hand():
  rollout = tiny_rollouts.random_rollout([(2, 1), (1, 2)], max_new_tokens=2)
  rollout = tiny_rollouts.replaced(
    rollout,
    prompts=np.array([[11, 12], [21, 0]], np.int32),
    responses=np.array([[13, 0], [22, 23]], np.int32),
  )
  places = Places(np.array([0, 0]), np.array([3, 0]), np.array([2, 1]), 2, 7)
  batch = rollout_batches.pack(
    rollout,
    np.array([0, 1]),
    places,
    {"x": np.array([[0.5, 9], [0.25, 0.75]], np.float32)},
  )
  assert batch.tokens[0].tolist() == [21, 22, 23, 11, 12, 13, 0]
  assert batch.segment_ids[0].tolist() == [1, 1, 1, 2, 2, 2, 0]
  assert batch.positions[0].tolist() == [0, 1, 2, 0, 1, 2, 0]
  assert batch.response_mask[0].tolist() == [
    False, True, True, False, False, True, False,
  ]  # fmt: skip
  assert batch.features["x"][0].tolist() == [0.25, 0.75, 0, 0, 0.5, 0, 0]
  for array in (*batch[:4], batch.features["x"]):
    assert not array[1].any()
  assert rollout_batches.count_tokens(batch) == (14, 6, 3)


def test_every_sample_is_whole_placed_once_and_apart_from_the_others():
  lengths = np.random.default_rng(0).integers(2, 17, 40).tolist()
  places = rollout_batches.place(lengths, row_length=16, multiple=2)
  taken = np.zeros((places.num_rows, places.row_length), int)
  for length, row, start in zip(
    lengths, places.rows, places.starts, strict=True
  ):
    assert start + length <= places.row_length
    taken[row, start : start + length] += 1
  assert taken.max() == 1 and taken.sum() == sum(lengths)
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
  lengths = (rollout.prompt_lengths + rollout.response_lengths)[chosen]
  places = rollout_batches.place(lengths.tolist(), row_length=16, multiple=1)
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
  seen = set()
  for longest in range(2, 33):
    lengths = rng.integers(min(2, longest), longest + 1, num).tolist()
    places = rollout_batches.place(lengths, row_length=32, multiple=multiple)
    assert places.num_rows % multiple == 0
    assert places.rows.max() < places.num_rows <= most
    seen.add(places.num_rows)
  assert len(seen) <= 4
