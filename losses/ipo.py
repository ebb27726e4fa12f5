# SPDX-License-Identifier: Apache-2.0
"""Identity preference optimisation: a margin is regressed, not maximised."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.lengths import reduce_by_length
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def ipo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  beta: float,
  logp_reduction: str,
) -> PairwiseLoss:
  r"""Per-pair IPO loss; nothing is reduced over N.

  .. math:: \left(h(y_{chosen}) - h(y_{rejected}) - \frac{1}{2\beta}\right)^2

  with h the log-ratio of policy to reference (Azar et al., arXiv 2310.12036,
  Eq. 17, where :math:`\beta` is called tau). The paper writes log-ratios of
  whole responses, "sum"; its experiments divided each by the number of its
  tokens, "mean", as its authors told the maintainers of TRL. The two need
  different betas, so neither is the default. The loss of an untrained policy
  is :math:`1 / (4\beta^2)`.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.
    beta: Strength of the KL penalty, above 0; the margin aimed at is
      1 / (2 beta).
    logp_reduction: "mean" per token, or "sum".

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta h. Gradients flow to the
    policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `logp_reduction` is
      unknown.
  """
  pairwise.require_positive(beta=beta)
  chosen = pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  chosen = reduce_by_length(
    chosen, chosen_lengths, logp_reduction=logp_reduction
  )
  rejected = reduce_by_length(
    rejected, rejected_lengths, logp_reduction=logp_reduction
  )
  losses = jnp.square(chosen - rejected - 1 / (2 * beta))
  return pairwise.with_rewards(losses, beta * chosen, beta * rejected)
