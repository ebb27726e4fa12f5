# SPDX-License-Identifier: Apache-2.0
"""Pairwise Cringe: binary Cringe of a pair, as long as the model confuses it."""

import math

import jax
from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.lengths import reduce_by_length
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def pairwise_cringe_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  rejected_gap_losses: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  alpha: float,
  b: float,
  tau: float,
  stop_gradient_gate: bool,
  logp_reduction: str,
  token_reduction: str,
) -> PairwiseLoss:
  r"""Pairwise Cringe loss of each pair, in nats; nothing is reduced over N.

  .. math:: g \left[ -\log p(y_w | x) + \alpha C(y_l) \right], \quad
            g = \sigma\left( \frac{b - M}{\tau} \right), \quad
            M = \log p(y_w | x) - \log p(y_l | x)

  with C the sum over the rejected answer's tokens of `cringe_token_losses` (Xu
  et al., arXiv 2312.16682, section 3: the soft margin of binary Cringe). No
  reference model is involved. As `tau` goes to 0 the gate becomes the hard
  margin M < b; a large `b` leaves binary Cringe.

  The paper does not settle whether the gate is a weight or carries a gradient
  of its own, which raises M, nor what is divided by lengths: these are
  hyperparameters.

  Args:
    chosen_logps: [N] log-probabilities of the better answers, summed over
      tokens.
    rejected_logps: [N] those of the worse answers; only the gate reads them.
    rejected_gap_losses: [N] sum over each worse answer's tokens of
      `cringe_token_losses` of its gaps.
    chosen_lengths: [N] tokens of the better answers.
    rejected_lengths: [N] tokens of the worse answers.
    alpha: Weight of the contrast, at least 0.
    b: Margin, in nats, at which the gate is half open.
    tau: Softness of the gate, in nats, above 0.
    stop_gradient_gate: Whether the gate is a weight without a gradient.
    logp_reduction: "sum" or "mean" over an answer's tokens, of the
      log-probabilities whose difference is M.
    token_reduction: "sum" or "mean" over an answer's tokens, of the two terms
      that the gate multiplies.

  Returns:
    `PairwiseLoss`; the rewards are the log-probabilities that the gate
    compares.

  Raises:
    ValueError: `alpha` is negative, `tau` is not above 0, one of them or `b`
      is not finite, or a reduction is neither of the two.

  Example:
    An open gate of one half, at M = b:

    >>> import jax.numpy as jnp
    >>> out = pairwise_cringe_loss(
    ...   chosen_logps=jnp.array([-3.0]), rejected_logps=jnp.array([-3.0]),
    ...   rejected_gap_losses=jnp.array([2.0]), chosen_lengths=jnp.array([2]),
    ...   rejected_lengths=jnp.array([2]), alpha=0.5, b=0.0, tau=1.0,
    ...   stop_gradient_gate=True, logp_reduction="sum", token_reduction="sum")
    >>> out.losses.tolist()
    [2.0]
  """
  pairwise.require_not_negative(alpha=alpha)
  pairwise.require_positive(tau=tau)
  if not math.isfinite(b):
    raise ValueError(
      f"b={b} must be finite: for binary Cringe of pairs, take one far above"
      " the margins."
    )
  chosen_rewards = reduce_by_length(
    chosen_logps, chosen_lengths, logp_reduction=logp_reduction
  )
  rejected_rewards = reduce_by_length(
    rejected_logps, rejected_lengths, logp_reduction=logp_reduction
  )
  gate = jax.nn.sigmoid((b - (chosen_rewards - rejected_rewards)) / tau)
  if stop_gradient_gate:
    gate = jax.lax.stop_gradient(gate)
  likelihood = reduce_by_length(
    chosen_logps, chosen_lengths, token_reduction=token_reduction
  )
  contrast = reduce_by_length(
    rejected_gap_losses, rejected_lengths, token_reduction=token_reduction
  )
  losses = gate * (alpha * contrast - likelihood)
  return pairwise.with_rewards(losses, chosen_rewards, rejected_rewards)
