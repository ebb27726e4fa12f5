# SPDX-License-Identifier: Apache-2.0
"""DPO on log-ratios per token, so that length brings no reward."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def dpo_norm_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair length-normalised DPO loss; nothing is reduced over N.

  .. math:: -\log \sigma(r(y_{chosen}) - r(y_{rejected})), \quad
            r(y) = \frac{\beta}{|y|} [\log \pi(y) - \log \pi_{ref}(y)]

  (Tulu 3, Lambert et al., arXiv 2411.15124, section 5). With means instead of
  sums, beta is larger than DPO's: Tulu 3 has 5.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.
    beta: Strength of the implicit KL penalty, above 0.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta / |y| (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite.
  """
  pairwise.require_positive(beta=beta)
  chosen = beta * pairwise.length_mean(
    pairwise.log_ratio(chosen_logps, ref_chosen_logps), chosen_lengths
  )
  rejected = beta * pairwise.length_mean(
    pairwise.log_ratio(rejected_logps, ref_rejected_logps), rejected_lengths
  )
  losses = pairwise.logistic_link(chosen - rejected)
  return pairwise.with_rewards(losses, chosen, rejected)
