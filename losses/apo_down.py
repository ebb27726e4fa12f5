# SPDX-License-Identifier: Apache-2.0
"""Anchored preference optimisation for winners worse than the model."""

import jax
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def apo_down_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair APO-down loss; nothing is reduced over N.

  .. math:: \sigma(r_c) + [1 - \sigma(r_c - r_r)]

  with the implicit rewards :math:`r = \beta\,[\log \pi - \log \pi_{ref}]` of
  the chosen and the rejected response (D'Oosterlinck et al., arXiv 2408.06266,
  Eq. 8, plus 1). Both become less likely, the rejected one more so: for chosen
  responses that are worse than what the model would write.

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
  losses = jax.nn.sigmoid(chosen) + jax.nn.sigmoid(rejected - chosen)
  return pairwise.with_rewards(losses, chosen, rejected)
