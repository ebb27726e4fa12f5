# SPDX-License-Identifier: Apache-2.0
"""Efficient exact optimisation: reverse KL to the preferences of a pair."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def exo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
  label_smoothing: float,
) -> PairwiseLoss:
  r"""Per-pair EXO loss; nothing is reduced over N.

  With m the difference of the implicit rewards of the two responses,
  :math:`q = \sigma(m)` the policy's preference and :math:`1 - \epsilon` the
  data's, the loss is the reverse KL divergence between the two,

  .. math:: q \log \frac{q}{1 - \epsilon} + (1 - q) \log \frac{1 - q}{\epsilon}

  (Ji et al., arXiv 2402.00856, Eq. 16, pairs). DPO is the forward one. It is 0
  at :math:`m = \log((1 - \epsilon) / \epsilon)`.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: Strength of the implicit KL penalty, above 0.
    label_smoothing: The data's probability, in (0, 0.5), of the rejected
      response; 0 would make the loss infinite. Customary: 1e-3.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite, or `label_smoothing` is
      outside (0, 0.5).
  """
  pairwise.require_positive(beta=beta)
  if not 0 < label_smoothing < 0.5:
    raise ValueError(
      f"label_smoothing={label_smoothing} must be in (0, 0.5): EXO is infinite"
      " for labels without doubt; 1e-3 is a common choice."
    )
  chosen = beta * pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = beta * pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  log_q = jax.nn.log_sigmoid(chosen - rejected)
  log_not_q = jax.nn.log_sigmoid(rejected - chosen)
  losses = jnp.exp(log_q) * (log_q - math.log1p(-label_smoothing))
  losses += jnp.exp(log_not_q) * (log_not_q - math.log(label_smoothing))
  return pairwise.with_rewards(losses, chosen, rejected)
