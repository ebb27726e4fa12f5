# SPDX-License-Identifier: Apache-2.0
"""Robust DPO: unbiased under a known share of swapped labels."""

from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def robust_dpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
  label_smoothing: float,
) -> PairwiseLoss:
  r"""Per-pair robust DPO loss; nothing is reduced over N.

  With DPO's margin m, the difference of the implicit rewards,

  .. math:: \frac{-(1 - \epsilon) \log \sigma(m) + \epsilon \log \sigma(-m)}
            {1 - 2 \epsilon}

  (Chowdhury et al., arXiv 2403.00409, section 3). Its expectation over labels
  that are swapped with probability :math:`\epsilon` is DPO's loss on the true
  ones. cDPO (`dpo_loss` with `label_smoothing`) adds the second term instead
  and is biased. This loss can be negative.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: Strength of the implicit KL penalty, above 0.
    label_smoothing: Assumed share, in [0, 0.5), of pairs whose labels are
      swapped.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `label_smoothing` is
      outside [0, 0.5).
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_label_smoothing(label_smoothing)
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  margins = chosen - rejected
  given = pairwise.logistic_link(margins)
  flipped = pairwise.logistic_link(-margins)
  losses = (1 - label_smoothing) * given - label_smoothing * flipped
  losses = losses / (1 - 2 * label_smoothing)
  return pairwise.with_rewards(losses, chosen, rejected)
