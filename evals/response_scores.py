# SPDX-License-Identifier: Apache-2.0
"""Outputs of a score head for whole answers, read at each one's last token."""

import jax
import jax.numpy as jnp

from ramjax.data.group_batches import GroupBatch
from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig


def response_scores(
  params: llama.Params, config: LlamaConfig, batch: GroupBatch
) -> jax.Array:
  """Runs a model with a score head on a batch of groups.

  The last token is found by the answer's length, never by comparing ids with
  those of EOS or padding.

  Args:
    params: Of the model, with `score`.
    config: Its shape; `num_labels` is at least 1.
    batch: Of groups; G groups of K answers in each row.

  Returns:
    [B, G, K, num_labels] float32; of no meaning where there is no answer.
  """
  hidden = llama.apply(
    params,
    config,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
    branch_ids=batch.branch_ids,
  )
  num_groups, num_answers = batch.features["present"].shape[1:]
  num_segments = 1 + num_groups * num_answers
  places = jnp.arange(hidden.shape[1])
  last = jax.vmap(
    lambda ids: jax.ops.segment_max(places, ids, num_segments=num_segments)
  )(batch.response_ids)
  # Where there is no answer the maximum over nothing is the least integer.
  last = jnp.maximum(last[:, 1:], 0)
  pooled = jnp.take_along_axis(hidden, last[:, :, None], axis=1)
  scores = heads.scores(params, pooled)
  return scores.reshape(-1, num_groups, num_answers, scores.shape[-1])
