# SPDX-License-Identifier: Apache-2.0
"""DiscoPOP: the log-ratio modulated loss that a search discovered."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def discopop_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
  tau: float = 0.05,
) -> PairwiseLoss:
  r"""Per-pair DiscoPOP loss; nothing is reduced over N.

  With m the difference of the implicit rewards (DPO's margin) and the gate
  :math:`g = \sigma(m / \tau)`,

  .. math:: -(1 - g) \log \sigma(m) + g\, e^{-m}

  (Lu et al., arXiv 2406.08414, Eq. 5): DPO's loss for pairs ranked wrongly, an
  exponential one for the others. It is not convex, and above log 2 at some
  margins greater than 0.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: Strength of the implicit KL penalty, above 0.
    tau: Width of the gate, in (0, 1]; 0.05 in the paper. A wider gate would
      let the exponential of large negative margins through.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `tau` is outside (0, 1].
  """
  pairwise.require_positive(beta=beta)
  if not 0 < tau <= 1:
    raise ValueError(
      f"tau={tau} must be in (0, 1], or the loss of wrongly ranked pairs grows"
      " exponentially; the paper has 0.05."
    )
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  margins = chosen - rejected
  logistic = jax.nn.sigmoid(-margins / tau) * pairwise.logistic_link(margins)
  # One exponent: where exp(-m) alone overflows, the gate is closed.
  exponential = jnp.exp(jax.nn.log_sigmoid(margins / tau) - margins)
  return pairwise.with_rewards(logistic + exponential, chosen, rejected)
