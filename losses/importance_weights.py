# SPDX-License-Identifier: Apache-2.0
"""Weights for tokens whose sampler was not quite the policy."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def truncated_importance(
  *,
  old_logps: Float[Array, " N"],
  sampler_logps: Float[Array, " N"],
  cap: float,
) -> Float[Array, " N"]:
  r"""Per-token importance weights, cut off at the top.

  .. math:: \min\left(\frac{\pi_{old}(y)}{\pi_{sampler}(y)}, C\right)

  The policy that sampled (another engine, lower precision, older weights) is
  rarely the one whose log-probabilities are trained on. Multiplying a token's
  loss by this corrects for it; the cap bounds the variance at the price of a
  small bias (Yao et al., "Your Efficient RL Framework Secretly Brings You
  Off-Policy RL Training", 2025: truncated importance sampling).

  Args:
    old_logps: [N] log-probability of each token by the trainer, before the
      update, in nats.
    sampler_logps: [N] the same as the sampler had it when it drew the token.
    cap: C, at least 1.

  Returns:
    [N] float32 weights in [0, C], 1 where the two agree; no gradient flows.

  Raises:
    ValueError: `cap` is below 1 or not finite.

  Example:
    >>> import jax.numpy as jnp
    >>> weights = truncated_importance(
    ...   old_logps=jnp.log(jnp.array([0.25, 0.75])),
    ...   sampler_logps=jnp.log(jnp.array([0.5, 0.25])), cap=2.0)
    >>> [f"{x:.2f}" for x in weights]
    ['0.50', '2.00']
  """
  if not 1 <= cap < math.inf:
    raise ValueError(
      f"cap={cap} must be at least 1 and finite, such as 2.0: where sampler and"
      " policy agree, a token's weight is 1."
    )
  ratios = jnp.exp(old_logps - sampler_logps)
  return jax.lax.stop_gradient(jnp.minimum(ratios, cap))
