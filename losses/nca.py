# SPDX-License-Identifier: Apache-2.0
"""Noise contrastive alignment, in its form for pairs."""

from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def nca_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair NCA loss; nothing is reduced over N.

  .. math:: -\log \sigma(r_c) - \tfrac12 \log \sigma(-r_c)
            - \tfrac12 \log \sigma(-r_r)

  with the implicit rewards :math:`r = \beta\,[\log \pi - \log \pi_{ref}]` of
  the chosen and the rejected response (Chen et al., arXiv 2402.05369, the NCA
  loss for K = 2 with the chosen response as the one positive). Unlike DPO it
  holds the chosen response's own likelihood up.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: Strength of the implicit KL penalty, above 0.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite.
  """
  pairwise.require_positive(beta=beta)
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  losses = (
    pairwise.logistic_link(chosen)
    + pairwise.logistic_link(-chosen) / 2
    + pairwise.logistic_link(-rejected) / 2
  )
  return pairwise.with_rewards(losses, chosen, rejected)
