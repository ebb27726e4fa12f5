# SPDX-License-Identifier: Apache-2.0
"""KTO: learns from answers judged one by one, as people weigh gain and loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses import pairwise, unpaired
from ramjax.losses.shapes import shape_checked
from ramjax.losses.unpaired import UnpairedLoss
from ramjax.losses.weighted_mean import WeightedMean


@shape_checked
def batch_statistics(
  *,
  mask: Bool[Array, " N"],
  kl_logps: Float[Array, " N"],
  ref_kl_logps: Float[Array, " N"],
) -> dict[str, Array]:
  r"""How far the model is from the reference, on answers to other prompts.

  .. math:: z_0 = \max\left(0, \frac1N \sum_i \log
            \frac{\pi(y'_i | x_i)}{\pi_{\mathrm{ref}}(y'_i | x_i)} \right)

  where :math:`y'_i` is the answer of another example of the batch (Ethayarajh
  et al., arXiv 2402.01306, section 4.1). It is taken over the whole batch of an
  update, so that neither microbatches nor devices change it; it needs two
  examples to be more than the reward of one.

  Args:
    mask: [N] True where the row is real.
    kl_logps: [N] log-probabilities of the mismatched answers, summed over
      tokens.
    ref_kl_logps: [N] those under the reference model.

  Returns:
    `kl`, a float32 scalar in nats; 0 of no rows. No gradient flows through it.
  """
  mean = WeightedMean.of(kl_logps - ref_kl_logps, mask).value
  return {"kl": jax.lax.stop_gradient(jnp.maximum(mean, 0.0))}


@shape_checked
def kto_loss(
  *,
  logps: Float[Array, " N"],
  ref_logps: Float[Array, " N"],
  labels: Bool[Array, " N"],
  kl: Float[Array, ""],
  beta: float,
  desirable_weight: float,
  undesirable_weight: float,
) -> UnpairedLoss:
  r"""KTO loss of each answer; nothing is reduced over N.

  .. math:: \lambda_D \left(1 - \sigma(\beta (r - z_0))\right)
            \text{ if desirable, }
            \lambda_U \left(1 - \sigma(\beta (z_0 - r))\right)
            \text{ if not; } \quad
            r = \log \frac{\pi(y | x)}{\pi_{\mathrm{ref}}(y | x)}

  (Ethayarajh et al., arXiv 2402.01306, section 4.1). A loss is in [0, weight] and
  flat at both ends: an answer the model is sure about moves it no further.

  Args:
    logps: [N] log-probability of each answer, summed over its tokens.
    ref_logps: [N] those under the reference model.
    labels: [N] True where the answer is desirable.
    kl: :math:`z_0` of `batch_statistics`; taken as a constant.
    beta: Steepness per nat, above 0. The paper: 0.1.
    desirable_weight: :math:`\lambda_D`, at least 0.
    undesirable_weight: :math:`\lambda_U`, at least 0. The paper suggests that
      the two weights times their numbers of examples have a ratio between 1
      and 4/3, the desirable being heavier.

  Returns:
    `UnpairedLoss`; the rewards are beta r.

  Raises:
    ValueError: `beta` is not above 0, a weight is negative, or one of them is
      not finite.

  Example:
    >>> import jax.numpy as jnp
    >>> out = kto_loss(logps=jnp.array([-3.0, -3.0]),
    ...                ref_logps=jnp.array([-4.0, -4.0]),
    ...                labels=jnp.array([True, False]), kl=jnp.float32(1.0),
    ...                beta=0.1, desirable_weight=1.0, undesirable_weight=2.0)
    >>> out.losses.tolist()
    [0.5, 1.0]
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_not_negative(
    desirable_weight=desirable_weight, undesirable_weight=undesirable_weight
  )
  log_ratios = pairwise.log_ratio(logps, ref_logps)
  gains = beta * (log_ratios - jax.lax.stop_gradient(kl))
  # 1 - sigmoid(x) is sigmoid(-x), without its cancellation.
  losses = jnp.where(
    labels,
    desirable_weight * jax.nn.sigmoid(-gains),
    undesirable_weight * jax.nn.sigmoid(gains),
  )
  return unpaired.with_rewards(losses, beta * log_ratios)
