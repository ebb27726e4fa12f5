# SPDX-License-Identifier: Apache-2.0
"""Self-play preference optimisation, with hard preferences."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def sppo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair SPPO loss with hard preferences; nothing is reduced over N.

  .. math:: \left(h_c - \frac{1}{2\beta}\right)^2
            + \left(h_r + \frac{1}{2\beta}\right)^2

  with the log-ratios :math:`h = \log \pi - \log \pi_{ref}` of the chosen and
  the rejected response (Wu et al., arXiv 2405.00675, Eq. 4.7 with probability
  1 for the chosen response, 0 for the rejected one and
  :math:`\eta = 1 / \beta`). Unlike IPO each response has a goal of its own. The
  reference is the policy that sampled the responses.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: 1 / eta of the paper, above 0; paper: 1e-3.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite.
  """
  pairwise.require_positive(beta=beta)
  chosen = pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  goal = 1 / (2 * beta)
  losses = jnp.square(chosen - goal) + jnp.square(rejected + goal)
  return pairwise.with_rewards(losses, beta * chosen, beta * rejected)
