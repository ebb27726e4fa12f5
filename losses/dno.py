# SPDX-License-Identifier: Apache-2.0
"""Direct Nash optimisation: DPO towards a probability of preference."""

import jax
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def dno_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  preference_probs: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair DNO loss; nothing is reduced over N.

  With m the difference of DPO's implicit rewards and p the probability that
  the response called chosen is the better one,

  .. math:: -p \log \sigma(m) - (1 - p) \log \sigma(-m)

  (Rosset et al., arXiv 2404.03715, Algorithm 1). The reference is the policy
  that sampled the responses. p = 1 is DPO, the variant called DNO-Prct.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    preference_probs: [N] p, in [0, 1], from the data.
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
  probs = jax.lax.stop_gradient(preference_probs)
  margins = chosen - rejected
  losses = probs * pairwise.logistic_link(margins)
  losses += (1 - probs) * pairwise.logistic_link(-margins)
  return pairwise.with_rewards(losses, chosen, rejected)
