# SPDX-License-Identifier: Apache-2.0
"""Divergence from the reference, estimated at each sampled token."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.shapes import shape_checked

_KINDS = ("k1", "k2", "k3", "abs", "k1_clamped")
# exp(20) is 4.9e8: thousands of such tokens still add up in float32.
_LARGEST_LOG_RATIO = 20.0


@shape_checked
def kl_estimate(
  *,
  logps: Float[Array, " N"],
  ref_logps: Float[Array, " N"],
  kind: str,
) -> Float[Array, " N"]:
  r"""An estimate of KL(pi || ref) from each token; nothing is reduced over N.

  With :math:`\delta = \log \pi(y) - \log \pi_{ref}(y)` of a token drawn from
  the policy (Schulman, "Approximating KL divergence", 2020):

  .. math:: k_1 = \delta, \quad k_2 = \delta^2 / 2, \quad
            k_3 = e^{-\delta} - 1 + \delta

  `k1` and `k3` are right on average, `k2` nearly so for small divergences;
  `k2` and `k3` are never negative. "abs" is the size of `k1`, and
  "k1_clamped" the larger of `k1` and 0 (AlpacaFarm, arXiv 2305.14387, its
  code of PPO); both overestimate.

  As a term of a loss, tokens drawn from the policy and held fixed, the
  derivatives of the three by the log-probability are 1, :math:`\delta` and
  :math:`1 - e^{-\delta}`. On average over the policy they give nothing at
  all, the gradient of KL(pi || ref), and that of KL(ref || pi).

  Args:
    logps: [N] log-probability of each token under the policy, in nats.
    ref_logps: [N] the same under the frozen reference.
    kind: "k1", "k2", "k3", "abs" or "k1_clamped".

  Returns:
    [N] nats; gradients flow to `logps` only. In `k3`, differences below -20
    are taken as -20, with a gradient of 0.

  Raises:
    ValueError: `kind` is none of these.

  Example:
    A token half as likely as under the reference:

    >>> import jax.numpy as jnp
    >>> half, one = jnp.log(jnp.array([0.5])), jnp.zeros(1)
    >>> k3 = kl_estimate(logps=half, ref_logps=one, kind="k3")
    >>> f"{k3[0]:.4f}"  # 2 - 1 - log 2
    '0.3069'
  """
  if kind not in _KINDS:
    raise ValueError(f"kind={kind!r} must be one of {_KINDS}.")
  differences = pairwise.log_ratio(logps, ref_logps)
  if kind == "k2":
    return jnp.square(differences) / 2
  if kind == "k3":
    # All of it bounded, not the exponential alone: what is left would pull
    # the policy further away.
    bounded = jnp.maximum(differences, -_LARGEST_LOG_RATIO)
    return jnp.expm1(-bounded) + bounded
  if kind == "k1":
    return differences
  # Not jnp.maximum or jnp.abs: at 0, where policy and reference are one, their
  # derivatives are 1/2 and 1.
  sizes = jnp.where(differences > 0, differences, 0.0)
  if kind == "abs":
    sizes = jnp.where(differences < 0, -differences, sizes)
  return sizes
