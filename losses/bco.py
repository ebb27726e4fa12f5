# SPDX-License-Identifier: Apache-2.0
"""BCO: tells desirable answers from undesirable ones around a running mean."""

from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses import pairwise, unpaired
from ramjax.losses.shapes import shape_checked
from ramjax.losses.unpaired import UnpairedLoss

# Where the running mean of log-ratios starts. Both are kept from update to
# update: a run that resumed without them would jump.
CARRIED: Mapping[str, float] = MappingProxyType(
  {"log_ratio_mean": 0.0, "log_ratio_count": 0.0}
)


@shape_checked
def batch_statistics(
  *,
  mask: Bool[Array, " N"],
  logps: Float[Array, " N"],
  ref_logps: Float[Array, " N"],
  log_ratio_mean: Float[Array, ""],
  log_ratio_count: Float[Array, ""],
) -> dict[str, Array]:
  r"""Brings the running mean of log-ratios up to date with a batch.

  The mean of every log-ratio seen so far, each counting once:

  .. math:: m \leftarrow m + \frac{n}{c + n} (\bar r - m), \quad
            c \leftarrow c + n

  for the batch's n log-ratios of mean :math:`\bar r`, desirable or not. The
  batch is counted before it is scored, so that the first batch is centered by
  its own mean. So did TRL's `BCOTrainer`, as long as TRL had one, for the reward
  shift of Jung et al., arXiv 2404.04656, section 3.

  Args:
    mask: [N] True where the row is real.
    logps: [N] log-probability of each answer, summed over its tokens.
    ref_logps: [N] those under the reference model.
    log_ratio_mean: The mean so far, in nats.
    log_ratio_count: How many log-ratios it is of. In float32 it stops growing
      at 2^24 examples, from where on the mean slowly forgets.

  Returns:
    `log_ratio_mean` and `log_ratio_count`, float32 scalars without a gradient.
  """
  count = jnp.sum(mask, dtype=jnp.float32)
  total_count = log_ratio_count + count
  # Of no rows there is nothing to add, and 0 / 0 to avoid.
  excess = jnp.sum(jnp.where(mask, logps - ref_logps - log_ratio_mean, 0.0))
  mean = log_ratio_mean + excess / jnp.maximum(total_count, 1.0)
  return jax.lax.stop_gradient(
    {"log_ratio_mean": mean, "log_ratio_count": total_count}
  )


@shape_checked
def bco_loss(
  *,
  logps: Float[Array, " N"],
  ref_logps: Float[Array, " N"],
  labels: Bool[Array, " N"],
  log_ratio_mean: Float[Array, ""],
  beta: float,
) -> UnpairedLoss:
  r"""BCO loss of each answer, in nats; nothing is reduced over N.

  .. math:: -\log \sigma(r - \delta) \text{ if desirable, }
            -\log \sigma(\delta - r) \text{ if not; } \quad
            r = \beta \log \frac{\pi(y | x)}{\pi_{\mathrm{ref}}(y | x)}

  where the shift :math:`\delta` is beta times the running mean of log-ratios
  (Jung et al., arXiv 2404.04656, section 3): the binary cross-entropy of a
  classifier whose logit is the reward. The paper's weights for prompts that
  come with one label only are not part of it.

  Args:
    logps: [N] log-probability of each answer, summed over its tokens.
    ref_logps: [N] those under the reference model.
    labels: [N] True where the answer is desirable.
    log_ratio_mean: Of `batch_statistics`, in nats; taken as a constant.
    beta: Reward per nat, above 0.

  Returns:
    `UnpairedLoss`; the rewards are r, not shifted.

  Raises:
    ValueError: `beta` is not above 0 and finite.

  Example:
    >>> import jax.numpy as jnp
    >>> out = bco_loss(logps=jnp.array([-3.0]), ref_logps=jnp.array([-4.0]),
    ...                labels=jnp.array([True]),
    ...                log_ratio_mean=jnp.float32(1.0), beta=0.1)
    >>> f"{out.losses[0]:.4f}"
    '0.6931'
  """
  pairwise.require_positive(beta=beta)
  rewards = beta * pairwise.log_ratio(logps, ref_logps)
  logits = rewards - beta * jax.lax.stop_gradient(log_ratio_mean)
  losses = pairwise.logistic_link(jnp.where(labels, logits, -logits))
  return unpaired.with_rewards(losses, rewards)
