# SPDX-License-Identifier: Apache-2.0
"""Outputs of a score head for whole answers, read at each one's last token."""

import jax

from ramjax.data.group_batches import GroupBatch
from ramjax.evals.response_tokens import last_places
from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig


def response_scores(
  params: llama.Params, config: LlamaConfig, batch: GroupBatch
) -> jax.Array:
  """Runs a model with a score head on a batch of groups.

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
  last = last_places(batch)
  scores = heads.scores_at(params, hidden, last.reshape(len(last), -1))
  return scores.reshape(*last.shape, -1)
