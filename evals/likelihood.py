# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of the supervised tokens of a batch, under a model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ramjax.losses import token_logps as token_logps_lib
from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig


class Likelihood(NamedTuple):
  """Per-token results, N = B * T flat; position i predicts token i + 1.

  Attributes:
    logps: [N] float32 log-probability of the next token, in nats.
    log_normalizers: [N] float32 log Z of the next-token distribution.
    mask: [N] bool, True where the next token is supervised.
    hidden: [N, D] final hidden states.
    kernel: [D, V] of the LM head.
  """

  logps: jax.Array
  log_normalizers: jax.Array
  mask: jax.Array
  hidden: jax.Array
  kernel: jax.Array


def next_token_targets(batch: Any) -> tuple[jax.Array, jax.Array]:
  """What each position is asked to predict, and whether that counts.

  Args:
    batch: `tokens`, `response_mask` and `segment_ids`, each [B, T].

  Returns:
    [B, T] next tokens and [B, T] bool: the next token is supervised, and lies
    in the same segment.
  """
  targets = jnp.roll(batch.tokens, -1, axis=1)
  same_segment = batch.segment_ids == jnp.roll(batch.segment_ids, -1, axis=1)
  mask = jnp.roll(batch.response_mask, -1, axis=1) & same_segment
  # The last position of a row has no next token: `roll` wrapped around.
  return targets, mask.at[:, -1].set(False)


def likelihood(
  params: llama.Params,
  config: LlamaConfig,
  batch: Any,
  *,
  branch_ids: jax.Array | None = None,
  temperature: float = 1.0,
  chunk_size: int,
  num_shards: int = 1,
) -> Likelihood:
  """Runs the model on a batch and scores its supervised tokens.

  Args:
    params: Of the model.
    config: Its shape.
    batch: A `TokenBatch` of [B, T] arrays, or any with its four fields.
    branch_ids: [B, T]; see `models.llama.apply`.
    temperature: Divides the logits, above 0: the policy of a sampler that is
      not at 1.
    chunk_size: See `losses.token_logps.token_logps`.
    num_shards: Devices the rows of the batch are split over.

  Returns:
    `Likelihood`, flat over the batch.
  """
  hidden = llama.apply(
    params,
    config,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
    branch_ids=branch_ids,
  )
  hidden = hidden.reshape(-1, hidden.shape[-1])
  targets, mask = next_token_targets(batch)
  kernel = heads.lm_kernel(params, config)
  logps, log_normalizers = token_logps_lib.token_logps(
    hidden=hidden,
    kernel=kernel,
    targets=targets.reshape(-1),
    mask=mask.reshape(-1),
    temperature=temperature,
    chunk_size=chunk_size,
    num_shards=num_shards,
  )
  return Likelihood(logps, log_normalizers, mask.reshape(-1), hidden, kernel)
