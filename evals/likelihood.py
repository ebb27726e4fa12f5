# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of the supervised tokens of a batch, under a model."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ramjax.evals import sharded_head
from ramjax.losses.token_logps import (
  TokenLogps,
  mean_token_logps,
  token_logps,
)
from ramjax.losses.vocabulary_blocks import Axes
from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig


class Likelihood(NamedTuple):
  """Per-token results; position i of a row predicts token i + 1.

  N = B * T, row after row. Hidden states are not flat: where devices share the
  tokens of a row, that would move them.

  Attributes:
    logps: [N] float32 log-probability of the next token, in nats.
    log_normalizers: [N] float32 log Z of the next-token distribution.
    mask: [N] bool, True where the next token is supervised.
    hidden: [B, T, D] final hidden states.
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

  Returns:
    `Likelihood`.
  """
  hidden = llama.apply(
    params,
    config,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
    branch_ids=branch_ids,
  )
  targets, mask = next_token_targets(batch)
  kernel = heads.lm_kernel(params, config)

  def score(kernel: jax.Array, tokens: Any, axes: Axes) -> TokenLogps:
    hidden, targets, mask = tokens
    return token_logps(
      hidden=hidden,
      kernel=kernel,
      targets=targets,
      mask=mask,
      temperature=temperature,
      chunk_size=chunk_size,
      axes=axes,
    )

  scored = sharded_head.per_device(score, kernel, (hidden, targets, mask))
  return Likelihood(
    logps=scored.logps.reshape(-1),
    log_normalizers=scored.log_normalizers.reshape(-1),
    mask=mask.reshape(-1),
    hidden=hidden,
    kernel=kernel,
  )


def mean_logps_of(scored: Likelihood) -> jax.Array:
  """[N] float32: see `losses.token_logps.mean_token_logps`; temperature 1."""

  def mean(kernel: jax.Array, tokens: Any, axes: Axes) -> jax.Array:
    hidden, log_normalizers = tokens
    return mean_token_logps(
      hidden=hidden, kernel=kernel, log_normalizers=log_normalizers, axes=axes
    )

  log_normalizers = scored.log_normalizers.reshape(scored.hidden.shape[:2])
  found = sharded_head.per_device(
    mean, scored.kernel, (scored.hidden, log_normalizers)
  )
  return found.reshape(-1)
