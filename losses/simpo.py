# SPDX-License-Identifier: Apache-2.0
"""SimPO: mean log-probabilities as rewards, a margin, no reference."""

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def simpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  beta: float,
  gamma: float,
) -> PairwiseLoss:
  r"""Per-pair SimPO loss; nothing is reduced over N.

  .. math:: -\log \sigma(r(y_{chosen}) - r(y_{rejected}) - \gamma), \quad
            r(y) = \frac{\beta}{|y|} \log \pi(y)

  (Meng et al., arXiv 2405.14734, Eq. 6). There is no reference.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.
    beta: Scale of the rewards, above 0.
    gamma: Margin aimed at, at least 0, in the units of the rewards (other
      code may ask for gamma / beta).

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta / |y| log pi(y).
    Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `gamma` is negative
      or not finite.
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_not_negative(gamma=gamma)
  chosen = beta * pairwise.length_mean(chosen_logps, chosen_lengths)
  rejected = beta * pairwise.length_mean(rejected_logps, rejected_lengths)
  losses = pairwise.logistic_link(chosen - rejected - gamma)
  return pairwise.with_rewards(losses, chosen, rejected)
