# SPDX-License-Identifier: Apache-2.0
"""How far a policy is from its reference on the answers of a batch."""

from collections.abc import Callable
from typing import Any

import jax

from ramjax.data.group_batches import GroupBatch
from ramjax.evals import sharded_head
from ramjax.evals.likelihood import Likelihood, likelihood
from ramjax.losses.token_kl import token_kl
from ramjax.losses.vocabulary_blocks import Axes
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.config import LlamaConfig


def make_kl_step(
  config: LlamaConfig, reference_config: LlamaConfig, *, chunk_size: int
) -> Callable[[Any, Any, GroupBatch], WeightedMean]:
  """A jitted `(params, reference, batch)` to the mean divergence, in nats.

  It is KL(policy || reference) of the next token, exact over the vocabulary,
  averaged over the tokens of the batch's answers.
  """

  @jax.jit
  def kl_step(params: Any, reference: Any, batch: GroupBatch) -> WeightedMean:
    def run(params: Any, config: LlamaConfig) -> Likelihood:
      return likelihood(
        params,
        config,
        batch,
        branch_ids=batch.branch_ids,
        chunk_size=chunk_size,
      )

    def compare(kernels: Any, tokens: Any, axes: Axes) -> jax.Array:
      hidden, ref_hidden, mask = tokens
      return token_kl(
        hidden=hidden,
        kernel=kernels[0],
        ref_hidden=ref_hidden,
        ref_kernel=kernels[1],
        mask=mask,
        chunk_size=chunk_size,
        axes=axes,
      )

    own, ref = run(params, config), run(reference, reference_config)
    mask = own.mask.reshape(batch.tokens.shape)
    values = sharded_head.per_device(
      compare, (own.kernel, ref.kernel), (own.hidden, ref.hidden, mask)
    )
    return WeightedMean.of(values, mask)

  return kl_step
