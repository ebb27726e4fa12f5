# SPDX-License-Identifier: Apache-2.0
"""DPO with the likelihood of the chosen response, as for reasoning."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def rpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  beta: float,
  nll_weight: float,
) -> PairwiseLoss:
  r"""Per-pair loss of DPO plus SFT; nothing is reduced over N.

  .. math:: -\log \sigma(r(y_{chosen}) - r(y_{rejected})) - w\,
            \frac{1}{|y_{chosen}|} \log \pi(y_{chosen})

  with DPO's implicit rewards r. Iterative RPO (Pang et al., arXiv 2404.19733,
  Eq. 1) weighs the first term by :math:`\alpha` instead of the second: this
  loss with :math:`w = 1 / \alpha`, times :math:`\alpha`. The second term keeps
  the chosen response from becoming less likely.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    beta: Strength of the implicit KL penalty, above 0.
    nll_weight: Weight w of the chosen response's loss, at least 0; paper: 1.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `nll_weight` is
      negative or not finite.
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_not_negative(nll_weight=nll_weight)
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  nll = -pairwise.length_mean(chosen_logps, chosen_lengths)
  losses = pairwise.logistic_link(chosen - rejected) + nll_weight * nll
  return pairwise.with_rewards(losses, chosen, rejected)
