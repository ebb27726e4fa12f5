# SPDX-License-Identifier: Apache-2.0
"""Alignment by optimal transport, paired: quantiles of the log-ratios."""

import jax
from jaxtyping import Array, Bool, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def aot_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  matched_ref_margins: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair AOT loss, paired variant; nothing is reduced over N.

  With a pair's log-odds :math:`d = \log \pi(y_{chosen}) - \log
  \pi(y_{rejected})` under the policy and :math:`d^{ref}` under the reference,
  both sorted over the batch,

  .. math:: -\log \sigma(\beta\,[d_{(k)} - d^{ref}_{(k)}])

  for each rank k (Melnyk et al., arXiv 2406.05882, section 3): the policy's
  distribution of log-odds is to dominate the reference's. Each pair keeps its
  own :math:`d` and gets the :math:`d^{ref}` of its rank from
  `batch_statistics`, so the sum over the batch and its gradient are those of
  the formula however the batch is split.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    matched_ref_margins: [N] the reference's log-odds of the pair's rank, from
      `batch_statistics`.
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
  margins = chosen_logps - rejected_logps
  margins -= jax.lax.stop_gradient(matched_ref_margins)
  losses = pairwise.logistic_link(beta * margins)
  return pairwise.with_rewards(losses, chosen, rejected)


@shape_checked
def batch_statistics(
  *,
  mask: Bool[Array, " N"],
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
) -> dict[str, Float[Array, " N"]]:
  """The reference's log-odds for each pair, by rank in the whole batch.

  Args:
    mask: [N] True for real pairs; padding takes part in no ranking.
    chosen_logps: [N] as for `aot_loss`, of the whole batch.
    rejected_logps: [N] as for `aot_loss`.
    ref_chosen_logps: [N] as for `aot_loss`.
    ref_rejected_logps: [N] as for `aot_loss`.

  Returns:
    `matched_ref_margins`, [N], 0 for padding.
  """
  matched = pairwise.matched_by_rank(
    chosen_logps - rejected_logps, ref_chosen_logps - ref_rejected_logps, mask
  )
  return {"matched_ref_margins": matched}
