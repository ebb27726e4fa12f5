# SPDX-License-Identifier: Apache-2.0
"""Odds ratio preference optimisation: SFT and preference in one stage."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def orpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  chosen_lengths: Int[Array, " N"],
  rejected_lengths: Int[Array, " N"],
  odds_ratio_weight: float,
) -> PairwiseLoss:
  r"""Per-pair ORPO loss; nothing is reduced over N.

  With a response's mean log-probability :math:`\ell = \log \pi(y) / |y|` and
  its odds :math:`o = e^\ell / (1 - e^\ell)`,

  .. math:: -\ell_{chosen} - \lambda \log \sigma(\log o_{chosen} - \log
            o_{rejected})

  (Hong et al., arXiv 2403.07691, Eqs. 4, 6 and 7). There is no reference. The
  first term is the SFT loss of the chosen response, a mean over its own
  tokens; TRL averages it over all tokens of a batch, prompts included. A mean
  probability that float32 cannot tell from 1 counts as 1 - 1.2e-7, where the
  odds are finite.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    chosen_lengths: [N] supervised tokens of the chosen response; 0, as
      padding rows have, counts as 1.
    rejected_lengths: [N] as `chosen_lengths`, of the rejected response.
    odds_ratio_weight: lambda, at least 0; paper: 0.1.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are the log-odds. Gradients flow
    to the policy's log-probabilities only.

  Raises:
    ValueError: `odds_ratio_weight` is negative or not finite.
  """
  pairwise.require_not_negative(odds_ratio_weight=odds_ratio_weight)
  mean_logps = pairwise.length_mean(chosen_logps, chosen_lengths)
  chosen = _log_odds(mean_logps)
  rejected = _log_odds(pairwise.length_mean(rejected_logps, rejected_lengths))
  odds_losses = pairwise.logistic_link(chosen - rejected)
  losses = -mean_logps + odds_ratio_weight * odds_losses
  return pairwise.with_rewards(losses, chosen, rejected)


def _log_odds(logps: Array) -> Array:
  """log(p / (1 - p)) of log p, [N]."""
  logps = jnp.minimum(logps, -jnp.finfo(logps.dtype).eps)
  # Where p is near 1, 1 - p comes from expm1; elsewhere log1p is exact. A
  # branch not taken must stay finite too: its gradient is multiplied by 0.
  near_one = logps > -math.log(2)
  close = jnp.where(near_one, logps, -1.0)
  far = jnp.where(near_one, -1.0, logps)
  log_rest = jnp.where(
    near_one, jnp.log(-jnp.expm1(close)), jnp.log1p(-jnp.exp(far))
  )
  return logps - log_rest
