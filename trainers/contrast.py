# SPDX-License-Identifier: Apache-2.0
"""Cringe's contrast on a batch: candidates drawn, losses summed by answer."""

from typing import Any

import jax
import jax.numpy as jnp

from ramjax.data.group_batches import GroupBatch
from ramjax.evals import sharded_head
from ramjax.evals.likelihood import Likelihood, next_token_targets
from ramjax.evals.response_tokens import next_answer, sum_by_response, tokens_of
from ramjax.losses.cringe import cringe_token_losses
from ramjax.losses.token_gaps import token_gaps
from ramjax.losses.vocabulary_blocks import Axes


def response_gap_losses(
  tokens: Likelihood,
  batch: GroupBatch,
  key: jax.Array,
  *,
  desirable_tokens: jax.Array,
  top_k: int,
  stop_candidate_gradient: bool,
  chunk_size: int,
) -> jax.Array:
  """Contrast losses of each answer's tokens, summed.

  Args:
    tokens: Of the batch, under the policy.
    batch: Of groups.
    key: Of the step. A token's draw depends on its row in the data, its answer
      and its position, and so not on where in a batch it lies.
    desirable_tokens: [B, T] bool, from `response_tokens.tokens_of`: whether the
      token that a position predicts should win against the candidate. Others should lose.
    top_k: Candidates to draw from, at least 1; 1 is the most likely other
      token.
    stop_candidate_gradient: Whether the candidate's logit gets no gradient.
    chunk_size: See `losses.token_gaps.token_gaps`.

  Returns:
    [B, G, K] float32.
  """

  def find(kernel: jax.Array, of_tokens: Any, axes: Axes) -> jax.Array:
    hidden, targets, mask, noise = of_tokens
    return token_gaps(
      hidden=hidden,
      kernel=kernel,
      targets=targets,
      mask=mask,
      noise=noise,
      stop_candidate_gradient=stop_candidate_gradient,
      chunk_size=chunk_size,
      axes=axes,
    )

  targets, _ = next_token_targets(batch)
  shape = batch.tokens.shape
  mask = tokens.mask.reshape(shape)
  noise = _noise(batch, key, top_k).reshape(*shape, top_k)
  gaps = sharded_head.per_device(
    find, tokens.kernel, (tokens.hidden, targets, mask, noise)
  ).reshape(-1)
  gaps = jnp.where(desirable_tokens.reshape(-1), -gaps, gaps)
  return sum_by_response(cringe_token_losses(gaps), tokens.mask, batch)


def _noise(batch: GroupBatch, key: jax.Array, top_k: int) -> jax.Array:
  """[B * T, top_k] Gumbel noise, the same for a token wherever it lies."""
  if top_k == 1:
    return jnp.zeros((batch.tokens.size, 1))  # One candidate: nothing to draw.
  row = tokens_of(batch.features["row_ids"][:, :, 0].astype(jnp.int32), batch)
  answer = next_answer(batch).answer

  def draw(row: jax.Array, answer: jax.Array, position: jax.Array) -> jax.Array:
    own = key
    for number in (row, answer, position):
      own = jax.random.fold_in(own, number)
    return jax.random.gumbel(own, (top_k,))

  positions = batch.positions
  return jax.vmap(draw)(
    row.reshape(-1), answer.reshape(-1), positions.reshape(-1)
  )
