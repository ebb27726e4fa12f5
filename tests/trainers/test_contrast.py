# SPDX-License-Identifier: Apache-2.0
"""Cringe's contrast: draws that belong to a token, not to a place in a batch.

The logits here are the same at every position, so that a gap tells which
candidate was drawn, exactly.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups
import tiny_objectives

from ramjax.data import group_batches
from ramjax.evals.likelihood import Likelihood, next_token_targets
from ramjax.trainers import contrast

_VOCAB = tiny_groups.CONFIG.vocab_size
# Distinct, and so alike that the noise decides.
_LOGITS = np.arange(_VOCAB) * 2.0**-10


@functools.partial(jax.jit, static_argnames=("top_k", "chunk_size"))
def _token_losses(batch, logits, seed, wins, *, top_k, chunk_size):
  _, mask = next_token_targets(batch)
  tokens = Likelihood(
    logps=jnp.zeros(mask.size),
    log_normalizers=jnp.zeros(mask.size),
    mask=mask.reshape(-1),
    hidden=jnp.ones((*mask.shape, 1)),
    kernel=jnp.asarray(logits, jnp.float32)[None],
  )
  return contrast.response_gap_losses(
    tokens,
    batch,
    jax.random.key(seed),
    desirable_tokens=jnp.full(mask.shape, wins),
    top_k=top_k,
    stop_candidate_gradient=False,
    chunk_size=chunk_size,
  )


def _losses(batch, *, top_k, seed=0, chunk_size=16, wins=False, logits=_LOGITS):
  losses = _token_losses(
    batch, logits, seed, wins, top_k=top_k, chunk_size=chunk_size
  )
  return tiny_groups.by_group(losses, batch)


def _batch(groups, *, size=16, **options):
  options = {"row_length": 64, "share_prompt": False, "pack": False, **options}
  return group_batches.eval_batches(groups, batch_size=size, **options)[0]


def _assert_equal(one, other):
  assert one.keys() == other.keys()
  for number, values in one.items():
    np.testing.assert_array_equal(values, other[number])


_GROUPS = tiny_objectives.pairs(10)


@pytest.mark.parametrize(
  "options",
  [
    dict(pack=True, share_prompt=True, row_length=48),
    *(
      pytest.param(part, marks=pytest.mark.slow)
      for part in (
        dict(pack=True),
        dict(share_prompt=True),
        dict(row_length=96),
        dict(size=32),
      )
    ),
  ],
  ids=str,
)
def test_draws_do_not_depend_on_the_place_in_a_batch(options):
  expected = _losses(_batch(_GROUPS), top_k=8)
  _assert_equal(_losses(_batch(_GROUPS, **options), top_k=8), expected)


def test_draws_do_not_depend_on_chunks():
  expected = _losses(_batch(_GROUPS), top_k=8)
  for chunk_size in (1, 5):
    found = _losses(_batch(_GROUPS), top_k=8, chunk_size=chunk_size)
    _assert_equal(found, expected)


def test_draws_do_not_depend_on_the_microbatch():
  batch = _batch(_GROUPS)
  found = {}
  for start in range(4):
    part = jax.tree.map(lambda x, start=start: x[start::4], batch)
    found |= _losses(part, top_k=8)
  _assert_equal(found, _losses(batch, top_k=8))


def test_another_key_another_row_and_another_answer_draw_anew():
  # The same tokens everywhere: only the draws can differ.
  group = tiny_groups.random_group(3, (6, 6))
  group = group._replace(
    responses=(group.responses[0],) * 2,
    response_masks=(np.ones(6, bool),) * 2,
  )
  batch = _batch([group, group], size=2)
  found = _losses(batch, top_k=40)
  again = _losses(batch, top_k=40, seed=1)
  sums = {
    float(value)
    for losses in (found, again)
    for values in losses.values()
    for value in values
  }
  assert len(sums) == 8


def test_one_candidate_is_the_most_likely_other_token():
  # Logits 2 for the target, 1 for the next best: gap 1 for each of 3 tokens,
  # and log(1 + e) where it should lose, log(1 + 1 / e) where it should win.
  logits = np.zeros(_VOCAB)
  logits[5], logits[9] = 2.0, 1.0
  group = tiny_groups.random_group(2, (3,))
  group = group._replace(
    responses=(np.full(3, 5, np.int32),), response_masks=(np.ones(3, bool),)
  )
  batch = _batch([group], size=1)
  for wins, sign in ((False, 1), (True, -1)):
    found = _losses(batch, top_k=1, wins=wins, logits=logits)
    np.testing.assert_allclose(
      found[0], [3 * np.log1p(np.exp(sign))], rtol=1e-6
    )


@pytest.mark.parametrize("top_k", [1, 3, _VOCAB - 1])
def test_the_candidate_is_never_the_target(top_k):
  # The target's logit is 50 above all others: a gap of 0 would be the target.
  logits = np.zeros(_VOCAB)
  logits[5] = 50.0
  groups = [
    group._replace(responses=tuple(np.full_like(r, 5) for r in group.responses))
    for group in _GROUPS
  ]
  batch = _batch(groups)
  found = _losses(batch, top_k=top_k, logits=logits)
  for number, group in enumerate(groups):
    counted = [mask.sum() for mask in group.response_masks]
    np.testing.assert_allclose(
      found[number], 50.0 * np.array(counted), rtol=1e-5
    )
