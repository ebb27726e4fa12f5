# SPDX-License-Identifier: Apache-2.0
"""Batches of groups: read back token by token, each group once and whole."""

from typing import Any

import numpy as np
import pytest
import tiny_groups

from ramjax.data import group_batches
from ramjax.data.tokenize_groups import Group

_every_layout = pytest.mark.parametrize(
  ("share_prompt", "pack"),
  [(False, False), (False, True), (True, False), (True, True)],
)


def _eval(groups, **changes):
  options = dict(row_length=48, share_prompt=True, batch_size=3, pack=True)
  return group_batches.eval_batches(groups, **{**options, **changes})


def _train(sources, **changes):
  options: dict[str, Any] = dict(
    weights=[1.0] * len(sources),
    row_length=48,
    share_prompt=True,
    batch_size=2,
    pack=True,
    seed=0,
  )
  return group_batches.train_batches(sources, **{**options, **changes})


def _take(iterator, num):
  taken = [next(iterator) for _ in range(num)]
  iterator.close()
  return taken


def _read(batch):
  """(number, answers) of each group; an answer is what attention sees of it.

  That is, the tokens of its segment that are of its own branch or of branch 0,
  in the order of their positions: (token, supervised, is answer) of each.
  """
  found = []
  branches = batch.branch_ids
  if branches is None:
    branches = np.zeros_like(batch.segment_ids)
  for b, g in np.argwhere(batch.features["present"][:, :, 0] > 0):
    answers = []
    present = batch.features["present"][b, g]
    size = len(present)
    for k in range(int(present.sum())):
      own = batch.response_ids[b] == 1 + g * size + k
      last = np.flatnonzero(own)[-1]
      seen = batch.segment_ids[b] == batch.segment_ids[b, last]
      seen &= np.isin(branches[b], [0, branches[b, last]])
      # Causally, that is also the order of the row.
      assert np.flatnonzero(seen)[-1] == last
      positions = batch.positions[b][seen]
      assert positions.tolist() == list(range(seen.sum()))
      answers.append(
        list(
          zip(
            batch.tokens[b][seen].tolist(),
            batch.response_mask[b][seen].tolist(),
            own[seen].tolist(),
            strict=True,
          )
        )
      )
    found.append((int(batch.features["row_ids"][b, g, 0]), answers))
  return found


def _expected(group):
  """The same of a group."""
  answers = []
  for k, (tokens, mask) in enumerate(
    zip(group.responses, group.response_masks, strict=True)
  ):
    prompt = group.prompts[k % len(group.prompts)].tolist()
    answer = zip(tokens.tolist(), mask.tolist(), strict=True)
    answers.append(
      [(token, False, False) for token in prompt]
      + [(token, counts, True) for token, counts in answer]
    )
  return answers


@_every_layout
@pytest.mark.parametrize("num", [1, 6, 31])
def test_evaluation_reads_back_every_group_exactly_once(
  share_prompt, pack, num
):
  groups = tiny_groups.numbered(num)
  made = _eval(groups, share_prompt=share_prompt, pack=pack)
  read = [found for batch in made for found in _read(batch)]
  assert sorted(number for number, _ in read) == list(range(num))
  for number, answers in read:
    assert answers == _expected(groups[number])
  # And nothing beside: every place is a group's, or empty.
  places = sum(
    group_batches.row_tokens(group, share_prompt=share_prompt)
    for group in groups
  )
  counted = np.sum([group_batches.count_tokens(b) for b in made], axis=0)
  supervised = sum(sum(map(len, group.responses)) for group in groups)
  assert counted.tolist() == [len(made) * 3 * 48, places, supervised]


@_every_layout
def test_groups_of_several_sizes_and_lengths(share_prompt, pack):
  groups = tiny_groups.groups_of(1, 2, 3)
  made = _eval(groups, share_prompt=share_prompt, pack=pack)
  read = dict(found for batch in made for found in _read(batch))
  assert read == {i: _expected(group) for i, group in enumerate(groups)}
  present = np.concatenate([b.features["present"].sum(2).ravel() for b in made])
  assert sorted(present[present > 0]) == sorted(g.size for g in groups)
  assert made[0].features["present"].shape == (3, 3, 3)


def test_a_shared_row_by_hand():
  group = Group(
    prompts=(np.array([11, 12, 13], np.int32),),
    responses=(np.array([21, 22], np.int32), np.array([31], np.int32)),
    response_masks=(np.array([True, False]), np.array([True])),
    features={"margins": np.array([2.5], np.float32)},
    num_truncated=0,
  )
  (batch,) = _eval([group], row_length=16, batch_size=1)
  rest = [0] * 9
  assert batch.tokens.tolist() == [[11, 12, 13, 21, 22, 13, 31, *rest]]
  assert batch.segment_ids.tolist() == [[1] * 7 + rest]
  assert batch.branch_ids is not None
  assert batch.branch_ids.tolist() == [[0, 0, 1, 1, 1, 2, 2, *rest]]
  assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3, *rest]]
  assert batch.response_ids.tolist() == [[0, 0, 0, 1, 1, 0, 2, *rest]]
  supervised = np.flatnonzero(batch.response_mask[0]).tolist()
  assert supervised == [3, 6]
  assert batch.features["margins"].tolist() == [[[2.5]]]
  assert batch.features["present"].tolist() == [[[1, 1]]]
  assert batch.features["row_ids"].tolist() == [[[0]]]
  assert group_batches.row_tokens(group, share_prompt=True) == 7
  # The same, each answer in a segment of its own.
  (batch,) = _eval([group], row_length=16, batch_size=1, share_prompt=False)
  rest = [0] * 7
  tokens = [11, 12, 13, 21, 22, 11, 12, 13, 31]
  assert batch.tokens.tolist() == [[*tokens, *rest]]
  assert batch.segment_ids.tolist() == [[1] * 5 + [2] * 4 + rest]
  assert batch.branch_ids is None
  assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3, *rest]]
  assert batch.response_ids.tolist() == [[0, 0, 0, 1, 1, 0, 0, 0, 2, *rest]]
  assert group_batches.row_tokens(group, share_prompt=False) == 9


def test_dtypes_and_shapes():
  (batch,) = _eval(tiny_groups.numbered(2), row_length=40)
  for name, values in batch._asdict().items():
    if name != "features":
      dtype = bool if name == "response_mask" else np.int32
      assert values.dtype == dtype and values.shape == (3, 40), name
  # One place for a group in 16 tokens.
  shapes = {name: x.shape for name, x in batch.features.items()}
  assert shapes == {
    "margins": (3, 2, 1),
    "present": (3, 2, 2),
    "row_ids": (3, 2, 1),
  }
  assert {x.dtype for x in batch.features.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("pack", [False, True])
def test_features_land_on_their_group_in_shuffled_rows(pack):
  sources = [tiny_groups.numbered(9), tiny_groups.numbered(7, first=9)]
  seen = set()
  for batch in _take(_train(sources, pack=pack), 12):
    for number, answers in _read(batch):
      seen.add(number)
      assert answers == _expected(
        sources[number >= 9][number - 9 * (number >= 9)]
      )
    real = batch.features["present"][:, :, 0] > 0
    np.testing.assert_array_equal(
      batch.features["margins"][real], batch.features["row_ids"][real]
    )
    for values in batch.features.values():
      assert not values[~real].any()
  assert seen == set(range(16))


def test_ratings_that_are_missing_stay_missing():
  groups = [
    tiny_groups.random_group(2, (3,), targets=[i, float("nan"), -i])
    for i in range(4)
  ]
  (batch,) = _eval(groups, batch_size=2)
  found = tiny_groups.by_group(batch.features["targets"], batch)
  for i in range(4):
    np.testing.assert_array_equal(found[i], [i, np.nan, -i])


def _group(size):
  """A group of answers of one token each."""
  return Group(
    prompts=(np.array([5, 6], np.int32),),
    responses=(np.array([7], np.int32),) * size,
    response_masks=(np.array([True]),) * size,
    features={},
    num_truncated=0,
  )


@pytest.mark.parametrize(
  ("share_prompt", "most"),
  # An answer is a segment of its own, of 16 in a row, or the whole group is, of
  # which the row has room for 8.
  [(False, 15), (True, 8)],
)
def test_a_row_holds_no_more_answers_than_segments_that_are_allowed(
  share_prompt, most
):
  made = _eval([_group(3)] * 1000, row_length=128, share_prompt=share_prompt)
  assert max(len(np.unique(batch.segment_ids)) - 1 for batch in made) == most


def test_one_large_group_leaves_room_for_many_small_ones():
  groups = [_group(2)] * 600
  rows = [
    sum(batch.features["present"].any(axis=(1, 2)).sum() for batch in made)
    for made in (
      _eval([*groups, *more], row_length=256, share_prompt=False)
      for more in ([], [_group(16)])
    )
  ]
  assert rows[1] <= rows[0] + 1


def test_more_answers_than_segments_of_a_row_are_refused():
  assert _eval([_group(16)], row_length=128, share_prompt=False)
  assert _eval([_group(17)], row_length=128, share_prompt=True)
  with pytest.raises(
    ValueError, match=r"room for 16 answers.*one group has 17"
  ):
    _eval([_group(17)], row_length=128, share_prompt=False)


def test_groups_after_two_prompts():
  group = tiny_groups.random_group(3, (4, 4))
  other = np.array([5, 6], np.int32)
  group = group._replace(prompts=(group.prompts[0], other))
  (batch,) = _eval([group], share_prompt=False)
  assert dict(_read(batch)) == {0: _expected(group)}
  with pytest.raises(ValueError, match=r"set data\.share_prompt=False"):
    _eval([tiny_groups.random_group(3, (4, 4)), group])


@pytest.mark.parametrize("share_prompt", [False, True])
def test_without_a_prompt_no_token_is_predicted_from_another_answer(
  share_prompt,
):
  group = tiny_groups.random_group(0, (2, 3))
  masks = tuple(np.ones(n, bool) for n in (2, 3))
  group = group._replace(response_masks=masks)
  (batch,) = _eval([group], share_prompt=share_prompt, batch_size=1)
  assert batch.response_ids[0, :6].tolist() == [1, 1, 2, 2, 2, 0]
  assert batch.positions[0, :5].tolist() == [0, 1, 0, 1, 2]
  supervised = batch.response_mask[0, :6].tolist()
  assert supervised == [False, True, False, True, True, False]
  assert masks[0].all(), "the group itself is left as it was"
  assert group_batches.row_tokens(group, share_prompt=share_prompt) == 5


# Prompts of 6, answers of 3 and 1: twice 6 and 4, or 5 and two branches.
@pytest.mark.parametrize(("share_prompt", "needed"), [(False, 16), (True, 11)])
def test_a_group_longer_than_a_row_is_refused(share_prompt, needed):
  groups = [
    tiny_groups.random_group(2, (1, 1)),
    tiny_groups.random_group(6, (3, 1)),
  ]
  assert _eval(groups, share_prompt=share_prompt, row_length=needed)
  for make in (_eval, lambda groups, **fields: _train([groups], **fields)):
    with pytest.raises(
      ValueError,
      match=rf"data\.row_length={needed - 1} .* need {needed} tokens",
    ):
      make(groups, share_prompt=share_prompt, row_length=needed - 1)


def test_nothing_to_make_batches_of_is_refused():
  with pytest.raises(ValueError, match="no rows"):
    _eval([])
  with pytest.raises(ValueError, match="source 1 has 0 examples"):
    _train([tiny_groups.numbered(3), []])


def test_an_epoch_holds_every_group_once():
  sources = [tiny_groups.numbered(8)]
  taken = _take(_train(sources, pack=False, batch_size=4), 4)
  numbers = [number for batch in taken for number, _ in _read(batch)]
  assert sorted(numbers[:8]) == sorted(numbers[8:]) == list(range(8))
  assert numbers[:8] != numbers[8:]


@pytest.mark.parametrize("pack", [False, True])
def test_an_iterator_restored_from_its_state_goes_on_exactly(pack):
  sources = [tiny_groups.numbered(20), tiny_groups.numbered(9, first=20)]
  iterator = _train(sources, pack=pack, weights=[2.0, 1.0])
  for _ in range(5):
    next(iterator)
  state = iterator.get_state()
  expected = _take(iterator, 5)
  resumed = _train(sources, pack=pack, weights=[2.0, 1.0])
  resumed.set_state(state)
  for one, other in zip(_take(resumed, 5), expected, strict=True):
    for a, b in zip(one, other, strict=True):
      np.testing.assert_equal(a, b)
