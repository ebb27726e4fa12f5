# SPDX-License-Identifier: Apache-2.0
"""Alignment by optimal transport, unpaired: rewards matched by rank."""

import jax
from jaxtyping import Array, Bool, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked


@shape_checked
def aot_unpaired_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  matched_chosen_ratios: Float[Array, " N"],
  matched_rejected_ratios: Float[Array, " N"],
  beta: float,
) -> PairwiseLoss:
  r"""Per-pair AOT loss, unpaired variant; nothing is reduced over N.

  The log-ratios :math:`h = \log \pi - \log \pi_{ref}` of the chosen and of the
  rejected responses are each sorted over the batch, and

  .. math:: -\log \sigma(\beta\,[h^{chosen}_{(k)} - h^{rejected}_{(k)}])

  is taken for each rank k (Melnyk et al., arXiv 2406.05882, section 3): which
  rejected response stood beside which chosen one does not matter. So that it
  can be split into microbatches, a row holds half of the cost of the rank of
  its chosen response and half of that of the rank of its rejected one, with
  the whole gradient of each: over the batch, value and gradient are those of
  the formula.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    matched_chosen_ratios: [N] the chosen log-ratio that has the rank of this
      row's rejected one, from `batch_statistics`.
    matched_rejected_ratios: [N] the rejected log-ratio that has the rank of
      this row's chosen one, from `batch_statistics`.
    beta: Strength of the implicit KL penalty, above 0.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta (log pi(y) - log
    pi_ref(y)). Gradients flow to the policy's log-probabilities only.

  Raises:
    ValueError: `beta` is not above 0 and finite.
  """
  pairwise.require_positive(beta=beta)
  chosen = pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  of_chosen = chosen - jax.lax.stop_gradient(matched_rejected_ratios)
  of_rejected = jax.lax.stop_gradient(matched_chosen_ratios) - rejected
  both = pairwise.logistic_link(beta * of_chosen)
  both += pairwise.logistic_link(beta * of_rejected)
  # A rank's cost is in two rows, once with the gradient of each of its sides.
  losses = both - jax.lax.stop_gradient(both / 2)
  return pairwise.with_rewards(losses, beta * chosen, beta * rejected)


@shape_checked
def batch_statistics(
  *,
  mask: Bool[Array, " N"],
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
) -> dict[str, Float[Array, " N"]]:
  """The opposite log-ratio of equal rank in the whole batch, for both sides.

  Args:
    mask: [N] True for real pairs; padding takes part in no ranking.
    chosen_logps: [N] as for `aot_unpaired_loss`, of the whole batch.
    rejected_logps: [N] as for `aot_unpaired_loss`.
    ref_chosen_logps: [N] as for `aot_unpaired_loss`.
    ref_rejected_logps: [N] as for `aot_unpaired_loss`.

  Returns:
    `matched_chosen_ratios` and `matched_rejected_ratios`, [N], 0 for padding.
  """
  chosen = pairwise.log_ratio(chosen_logps, ref_chosen_logps)
  rejected = pairwise.log_ratio(rejected_logps, ref_rejected_logps)
  return {
    "matched_chosen_ratios": pairwise.matched_by_rank(rejected, chosen, mask),
    "matched_rejected_ratios": pairwise.matched_by_rank(chosen, rejected, mask),
  }
