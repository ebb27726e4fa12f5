# SPDX-License-Identifier: Apache-2.0
"""Contrastive preference optimisation: DPO without a reference, and SFT."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def cpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  beta: float,
  nll_weight: float = 1.0,
) -> PairwiseLoss:
  r"""Per-pair CPO loss; nothing is reduced over N.

  .. math:: -\log \sigma(\beta \log \pi(y_{chosen}) - \beta \log
            \pi(y_{rejected})) - w\,\frac{1}{|y_{chosen}|} \log \pi(y_{chosen})

  (Xu et al., arXiv 2401.08417, section 3, with w = 1). There is no reference.
  The paper writes the second term as a sum over the response; its code, and
  this loss, take the mean per token. (There the mean is over all tokens of a
  batch, which weighs long responses more.)

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    beta: Scale of the rewards, above 0.
    nll_weight: Weight w of the chosen response's loss, at least 0.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta log pi(y). Gradients flow
    to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `nll_weight` is
      negative or not finite.
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_not_negative(nll_weight=nll_weight)
  chosen = beta * chosen_logps
  rejected = beta * rejected_logps
  nll = -pairwise.length_mean(chosen_logps, chosen_lengths)
  losses = pairwise.logistic_link(chosen - rejected) + nll_weight * nll
  return pairwise.with_rewards(losses, chosen, rejected)
