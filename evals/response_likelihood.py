# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of whole answers, under a model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ramjax.data.group_batches import GroupBatch
from ramjax.evals.likelihood import Likelihood, likelihood
from ramjax.evals.response_tokens import sum_by_response
from ramjax.models import llama
from ramjax.models.config import LlamaConfig


class ResponseLikelihood(NamedTuple):
  """How likely each answer of a batch is; G groups of K answers in a row.

  Attributes:
    logps: [B, G, K] float32, summed over the answer's supervised tokens, in
      nats; 0 where there is no answer.
    lengths: [B, G, K] int32, supervised tokens.
    tokens: The per-token results, flat over the batch.
  """

  logps: jax.Array
  lengths: jax.Array
  tokens: Likelihood


def response_likelihood(
  params: llama.Params,
  config: LlamaConfig,
  batch: GroupBatch,
  *,
  chunk_size: int,
) -> ResponseLikelihood:
  """Runs the model on a batch and scores each answer.

  Args:
    params: Of the model.
    config: Its shape.
    batch: Of groups.
    chunk_size: See `losses.token_logps.token_logps`.
  """
  tokens = likelihood(
    params, config, batch, branch_ids=batch.branch_ids, chunk_size=chunk_size
  )
  return ResponseLikelihood(
    logps=sum_by_response(tokens.logps, tokens.mask, batch),
    lengths=sum_by_response(tokens.mask.astype(jnp.int32), tokens.mask, batch),
    tokens=tokens,
  )
