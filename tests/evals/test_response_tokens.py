# SPDX-License-Identifier: Apache-2.0
"""Which answer a token belongs to, on a batch that is laid out by hand."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups

from ramjax.data import group_batches
from ramjax.evals import response_tokens
from ramjax.evals.likelihood import next_token_targets

# Prompt at places 0 and 1; answers at 2 and 3, and at 5 (after the prompt's
# last token again at 4); then a group whose answer, at 6, has no prompt.
_BATCH: Any = group_batches.GroupBatch(
  tokens=np.zeros((1, 8), np.int32),
  response_mask=np.zeros((1, 8), bool),
  segment_ids=np.array([[1, 1, 1, 1, 1, 1, 2, 0]]),
  branch_ids=None,
  positions=np.zeros((1, 8), np.int32),
  response_ids=np.array([[0, 0, 1, 1, 0, 2, 3, 0]]),
  features={"present": np.array([[[1, 1], [1, 0]]], np.float32)},
)


def test_a_position_predicts_the_answer_of_the_next_token():
  found = response_tokens.next_answer(_BATCH)
  # Place 5 predicts nothing: 6 is of another segment.
  assert found.predicted.tolist() == [[0, 1, 1, 0, 1, 0, 0, 0]]
  assert found.answer.tolist() == [[0, 0, 0, 0, 1, 0, 0, 0]]
  assert found.group.tolist() == [[0] * 8]


def test_the_last_position_predicts_nothing_of_the_first():
  batch = _BATCH._replace(
    response_ids=np.array([[1] * 8]), segment_ids=np.ones((1, 8), np.int32)
  )
  found = response_tokens.next_answer(batch)
  assert found.predicted.tolist() == [[1] * 7 + [0]]


def test_sums_by_hand():
  # Position i holds the value of token i + 1.
  values = jnp.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
  mask = jnp.array([True, True, True, True, True, False, True, True])
  found = response_tokens.sum_by_response(values, mask, _BATCH)
  assert found.tolist() == [[[6.0, 16.0], [0.0, 0.0]]]
  # What is masked does not count, not even as NaN.
  mask = mask.at[2].set(False)
  found = response_tokens.sum_by_response(
    values.at[2].set(jnp.nan), mask, _BATCH
  )
  assert found.tolist() == [[[2.0, 16.0], [0.0, 0.0]]]


def test_places_of_first_and_last_tokens_by_hand():
  first = response_tokens.first_places(_BATCH)
  last = response_tokens.last_places(_BATCH)
  assert first[0, 0].tolist() == [2, 5] and first[0, 1, 0] == 6
  assert last[0, 0].tolist() == [3, 5] and last[0, 1, 0] == 6
  # The absent answer is read somewhere in the row.
  assert 0 <= first[0, 1, 1] < 8 and 0 <= last[0, 1, 1] < 8


def test_a_value_of_a_group_reaches_the_places_that_predict_its_answers():
  # Two pairs in a row, [p a a p b] and [p p a p p b b]: position i predicts
  # i + 1, and each group's value is at the places before its answers' tokens.
  groups = [
    tiny_groups.random_group(1, (2, 1)), tiny_groups.random_group(2, (1, 2))
  ]  # fmt: skip
  (batch,) = group_batches.eval_batches(
    groups, batch_size=1, row_length=32, share_prompt=False, pack=True
  )
  values = batch.features["row_ids"][:, :, 0] + 10
  placed = np.asarray(response_tokens.tokens_of(jnp.asarray(values), batch))[0]
  ids = np.roll(batch.response_ids[0], -1)
  for place in np.flatnonzero(ids):
    group = (ids[place] - 1) // 2
    assert placed[place] == values[0, group]
  assert np.count_nonzero(ids) == 6


@pytest.mark.parametrize("share_prompt", [True, False])
def test_what_is_supervised_is_predicted_of_an_answer(share_prompt):
  (batch,) = group_batches.eval_batches(
    tiny_groups.groups_of(1, 2, 3),
    batch_size=1,
    row_length=192,
    share_prompt=share_prompt,
    pack=True,
  )
  _, supervised = next_token_targets(batch)
  assert supervised.any()
  assert not np.any(supervised & ~response_tokens.next_answer(batch).predicted)
