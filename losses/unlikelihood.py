# SPDX-License-Identifier: Apache-2.0
"""Unlikelihood: learns good answers, makes the tokens of bad ones improbable."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses import pairwise, unpaired
from ramjax.losses.lengths import reduce_by_length
from ramjax.losses.shapes import shape_checked
from ramjax.losses.unpaired import UnpairedLoss

# Nats by which a log-probability stays below 0. A token costs at most
# -log(1e-5), 11.5 nats, which is where the authors' code clips too.
_CLIP = 1e-5


@shape_checked
def token_unlikelihoods(
  token_logps: Float[Array, " N"],
) -> Float[Array, " N"]:
  r"""Unlikelihood :math:`-\log(1 - p)` of each token, in nats.

  Welleck et al., arXiv 1908.04319, section 5. Near p = 1 it is infinite, and
  float32 cannot tell 1 - p from 0: above p = 1 - 1e-5 the value and the
  gradient are those at 1 - 1e-5. The gradient p / (1 - p) is so at most 1e5
  there, not 0, as it would be behind a plain clip: the tokens that most need
  unlearning still get a push.

  Args:
    token_logps: [N] log-probabilities, in nats. A masked token's 0 stands for
      p = 1 and costs the most: the caller masks again before it sums.

  Returns:
    [N] float32, in [0, 11.52].

  Example:
    >>> import jax.numpy as jnp
    >>> losses = token_unlikelihoods(jnp.log(jnp.array([0.5, 0.75])))
    >>> [f"{loss:.4f}" for loss in losses]
    ['0.6931', '1.3863']
  """
  excess = jax.lax.stop_gradient(jnp.maximum(token_logps + _CLIP, 0.0))
  logps = token_logps - excess
  # log(1 - e^x): expm1 keeps the digits near 0, log1p those far below it. Each
  # is given a harmless x where the other counts, whose gradient stays finite.
  is_near = logps > -0.5
  near = jnp.log(-jnp.expm1(jnp.where(is_near, logps, -0.5)))
  far = jnp.log1p(-jnp.exp(jnp.where(is_near, -0.5, logps)))
  return -jnp.where(is_near, near, far)


@shape_checked
def unlikelihood_loss(
  *,
  logps: Float[Array, " N"],
  unlikelihoods: Float[Array, " N"],
  lengths: Int[Array, " N"],
  labels: Bool[Array, " N"],
  alpha: float,
  logp_reduction: str,
) -> UnpairedLoss:
  r"""Unlikelihood loss of each answer, in nats; nothing is reduced over N.

  .. math:: -\sum_t \log p(y_t) \text{ if desirable, }
            -\alpha \sum_t \log(1 - p(y_t)) \text{ if not}

  (Welleck et al., arXiv 1908.04319, section 5, where the bad tokens are those
  that repeat; here they are those of an answer judged undesirable.)

  Args:
    logps: [N] log-probability of each answer, summed over its tokens.
    unlikelihoods: [N] sum over each answer's tokens of `token_unlikelihoods`.
    lengths: [N] tokens of each answer.
    labels: [N] True where the answer is desirable.
    alpha: Weight of undesirable answers, at least 0. The paper: 1.
    logp_reduction: "sum" over an answer's tokens, or their "mean", of both
      terms.

  Returns:
    `UnpairedLoss`; the rewards are the (reduced) log-probabilities.

  Raises:
    ValueError: `alpha` is negative or not finite, or `logp_reduction` is
      neither of the two.

  Example:
    >>> import jax.numpy as jnp
    >>> out = unlikelihood_loss(logps=jnp.array([-3.0, -3.0]),
    ...                         unlikelihoods=jnp.array([1.0, 1.0]),
    ...                         lengths=jnp.array([2, 2]),
    ...                         labels=jnp.array([True, False]), alpha=0.5,
    ...                         logp_reduction="mean")
    >>> out.losses.tolist()
    [1.5, 0.25]
  """
  pairwise.require_not_negative(alpha=alpha)
  rewards = reduce_by_length(logps, lengths, logp_reduction=logp_reduction)
  against = reduce_by_length(
    unlikelihoods, lengths, logp_reduction=logp_reduction
  )
  losses = jnp.where(labels, -rewards, alpha * against)
  return unpaired.with_rewards(losses, rewards)
