# SPDX-License-Identifier: Apache-2.0
"""Likelihood of tokens: what is predicted where, and by what it is seen."""

import jax
import numpy as np
import tiny_groups
from tiny_groups import CONFIG

from ramjax.data.batches import TokenBatch
from ramjax.evals import likelihood as likelihood_lib
from ramjax.models import heads, llama

_likelihood = jax.jit(
  lambda params, batch, branch_ids: likelihood_lib.likelihood(
    params, CONFIG, batch, branch_ids=branch_ids, chunk_size=8
  )
)


def _batch():
  groups = tiny_groups.groups_of(2)
  return tiny_groups.plain_rows(groups, 20)


def test_targets_by_hand():
  batch = TokenBatch(
    tokens=np.array([[5, 6, 7, 8, 9, 0]], np.int32),
    response_mask=np.array([[False, True, True, True, True, False]]),
    segment_ids=np.array([[1, 1, 1, 2, 2, 0]], np.int32),
    positions=np.array([[0, 1, 2, 0, 1, 0]], np.int32),
  )
  targets, mask = likelihood_lib.next_token_targets(batch)
  assert targets[0, :5].tolist() == [6, 7, 8, 9, 0]
  # The first token of a segment is predicted by nothing.
  assert mask.tolist() == [[True, True, False, True, False, False]]


def test_the_first_token_of_a_row_is_not_predicted_by_its_last():
  ones = np.ones((1, 3), np.int32)
  batch = TokenBatch(ones, ones > 0, ones, np.arange(3, dtype=np.int32)[None])
  _, mask = likelihood_lib.next_token_targets(batch)
  assert mask.tolist() == [[True, True, False]]


def test_one_branch_changes_no_bit():
  batch = _batch()
  params = tiny_groups.params()
  without = _likelihood(params, batch, None)
  one = _likelihood(params, batch, np.zeros_like(batch.tokens))
  for first, second in zip(without, one, strict=True):
    np.testing.assert_array_equal(first, second)
  assert np.any(np.asarray(without.logps) < 0)


def test_a_branch_sees_its_prefix_and_itself_alone():
  # A batch's shape, for which programs are compiled already.
  shape = _batch().tokens.shape

  def in_first_row(values):
    row = np.zeros(shape, np.asarray(values).dtype)
    row[0, : len(values)] = values
    return row

  # One segment: 4 tokens, 3 of branch 1, 3 of branch 2.
  tokens = np.random.default_rng(0).integers(1, 48, 10).astype(np.int32)
  mask = in_first_row(np.repeat([False, True], [4, 6]))
  positions = in_first_row(np.int32([0, 1, 2, 3, 4, 5, 6, 4, 5, 6]))
  branch_ids = in_first_row(np.repeat([0, 1, 2], [4, 3, 3]).astype(np.int32))
  ones = in_first_row(np.ones_like(tokens))
  batch = TokenBatch(in_first_row(tokens), mask, ones, positions)
  params = tiny_groups.params()
  found = _likelihood(params, batch, branch_ids).logps
  for places, predicted in ((np.r_[0:7], (4, 5)), (np.r_[0:4, 7:10], (7, 8))):
    alone = TokenBatch(
      in_first_row(tokens[places]), mask, in_first_row(ones[0, :7]), positions
    )
    expected = _likelihood(params, alone, None).logps
    np.testing.assert_allclose(
      found[np.array(predicted)], expected[4:6], rtol=1e-5
    )


def test_a_temperature_divides_the_logits():
  batch = _batch()
  params = tiny_groups.params()
  found = jax.jit(
    lambda params, batch: likelihood_lib.likelihood(
      params, CONFIG, batch, temperature=0.5, chunk_size=8
    )
  )(params, batch)

  @jax.jit
  def whole(params, batch):
    hidden = llama.apply(
      params,
      CONFIG,
      batch.tokens,
      positions=batch.positions,
      segment_ids=batch.segment_ids,
    )
    return jax.nn.log_softmax(heads.lm_logits(params, CONFIG, hidden) / 0.5)

  logps = np.asarray(whole(params, batch))
  targets, mask = likelihood_lib.next_token_targets(batch)
  rows, columns = np.indices(targets.shape)
  expected = logps[rows, columns, np.asarray(targets)]
  np.testing.assert_allclose(
    np.asarray(found.logps).reshape(mask.shape)[mask],
    expected[np.asarray(mask)],
    atol=1e-5,
  )
