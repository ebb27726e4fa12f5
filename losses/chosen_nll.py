# SPDX-License-Identifier: Apache-2.0
"""The likelihood of the chosen responses: SFT as a term beside others."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def chosen_nll_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
) -> PairwiseLoss:
  r"""Per-pair SFT loss of the chosen response; nothing is reduced over N.

  .. math:: -\frac{1}{|y_{chosen}|} \log \pi(y_{chosen})

  a mean over the response's own tokens, in nats. It is the term that RPO (Pang
  et al., arXiv 2404.19733, Eq. 1) and CPO (Xu et al., arXiv 2401.08417,
  section 3) add to a preference loss.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are log pi(y) / |y|; the rejected
    response has no part in the loss. Gradients flow to the policy's
    log-probabilities only.

  Raises:
    TypeError: Shapes that differ.
  """
  chosen = pairwise.length_mean(chosen_logps, chosen_lengths)
  rejected = pairwise.length_mean(rejected_logps, rejected_lengths)
  return pairwise.with_rewards(-chosen, chosen, rejected)
