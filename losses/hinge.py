# SPDX-License-Identifier: Apache-2.0
"""The hinge loss of preference pairs: no pull beyond the margin."""

import jax
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def hinge_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair hinge loss; nothing is reduced over N.

  .. math:: \max(0,\, 1 - [r(y_{chosen}) - r(y_{rejected})]), \quad
            r(y) = \beta\,[\log \pi(y) - \log \pi_{ref}(y)]

  SLiC-HF (Zhao et al., arXiv 2305.10425, section 2) has the hinge on the
  policy's log-probabilities alone with a margin :math:`\delta`; with the
  reference it is RSO's hinge-norm loss (Liu et al., arXiv 2309.06657, section
  3), :math:`\delta = 1 / \beta` and the loss divided by it.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: Scale of the rewards, above 0; a margin of 1 / beta nats is enough.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite.
  """
  pairwise.require_positive(beta=beta)
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  losses = jax.nn.relu(1 - (chosen - rejected))
  return pairwise.with_rewards(losses, chosen, rejected)
