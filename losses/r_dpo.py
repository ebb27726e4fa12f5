# SPDX-License-Identifier: Apache-2.0
"""Length-regularised DPO: length explains a part of the preference."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def r_dpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  beta: float,
  length_penalty: float,
) -> PairwiseLoss:
  r"""Per-pair R-DPO loss; nothing is reduced over N.

  .. math:: -\log \sigma(r(y_{chosen}) - r(y_{rejected})
            + \alpha\,[|y_{chosen}| - |y_{rejected}|])

  with DPO's implicit rewards r (Park et al., arXiv 2403.19159, section 3).
  What a longer chosen response owes to its length is not asked of the policy.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    chosen_lengths: [N] supervised tokens of the chosen response.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.
    beta: Strength of the implicit KL penalty, above 0.
    length_penalty: alpha, reward taken off for each token, at least 0.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `length_penalty` is
      negative or not finite.
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_not_negative(length_penalty=length_penalty)
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  longer = (chosen_lengths - rejected_lengths).astype(chosen.dtype)
  losses = pairwise.logistic_link(chosen - rejected + length_penalty * longer)
  return pairwise.with_rewards(losses, chosen, rejected)
