# SPDX-License-Identifier: Apache-2.0
"""AlphaPO: SimPO with a bent reward."""

import math

from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def alphapo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  beta: float,
  gamma: float,
  alpha: float,
) -> PairwiseLoss:
  r"""Per-pair AlphaPO loss; nothing is reduced over N.

  .. math:: -\log \sigma(r(y_{chosen}) - r(y_{rejected}) - \gamma), \quad
            r(y) = \frac{\beta}{\alpha} \left(1 - \pi(y)^{-\alpha / |y|}\right)

  (Gupta et al., arXiv 2501.03884, section 3). There is no reference. As
  :math:`\alpha` nears 0 it becomes SimPO. The power is cut off at exp(80).

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.
    beta: Scale of the rewards, above 0.
    gamma: Margin aimed at, at least 0, in the units of the rewards.
    alpha: Bend of the reward, any finite number but 0; above 0 it weighs
      unlikely responses more, below 0 less.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are r(y). Gradients flow to the
    policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `gamma` is negative
      or not finite, or `alpha` is 0 or not finite.
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_not_negative(gamma=gamma)
  if not math.isfinite(alpha) or alpha == 0:
    raise ValueError(
      f"alpha={alpha} must be finite and not 0: AlphaPO with alpha 0 is SimPO,"
      " the loss `simpo`."
    )
  # Minus the bend, in units of which the mean log-probability is raised.
  bend = -alpha
  chosen_mean = pairwise.length_mean(chosen_logps, chosen_lengths)
  rejected_mean = pairwise.length_mean(rejected_logps, rejected_lengths)
  chosen = beta / bend * pairwise.bounded_expm1(bend * chosen_mean)
  rejected = beta / bend * pairwise.bounded_expm1(bend * rejected_mean)
  losses = pairwise.logistic_link(chosen - rejected - gamma)
  return pairwise.with_rewards(losses, chosen, rejected)
