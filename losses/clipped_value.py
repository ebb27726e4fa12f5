# SPDX-License-Identifier: Apache-2.0
"""Squared error of a value function, per token, clipped around its old self."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def clipped_value(
  *,
  values: Float[Array, " N"],
  old_values: Float[Array, " N"],
  returns: Float[Array, " N"],
  clip: float | None,
) -> Float[Array, " N"]:
  r"""Per-token value loss; nothing is reduced over N.

  .. math:: \tfrac12 \max\{(v - R)^2, (v_{clip} - R)^2\}, \quad
            v_{clip} = v_{old} + \mathrm{clip}(v - v_{old}, -c, c)

  The larger of the two, so that a value which has moved by more than c since
  the sampling, towards the return, gains nothing by moving on. Not in PPO's
  paper: in its authors' code since 2017 (Engstrom et al., arXiv 2005.12729,
  section 3, "value function clipping").

  Args:
    values: [N] expected returns by the value head, in the rewards' unit.
    old_values: [N] the same at the time of sampling; no gradient.
    returns: [N] what came of it (`losses.gae`); no gradient.
    clip: c, above 0, in the rewards' unit, or None for the plain half square.

  Returns:
    [N] float32; gradients flow to `values` and are v - R, or 0 where the
    clipped error is the larger one.

  Raises:
    ValueError: `clip` is not above 0 and finite.

  Example:
    From 0 to 1, towards a return of 2, at c = 0.2: the error of 0.2 counts.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones(1)
    >>> loss = clipped_value(values=one, old_values=0 * one, returns=2 * one,
    ...                      clip=0.2)
    >>> f"{loss[0]:.2f}"
    '1.62'
  """
  if clip is not None and not 0 < clip < math.inf:
    raise ValueError(
      f"clip={clip} must be above 0 and finite, such as 0.2, or None to leave"
      " the values unclipped."
    )
  returns = jax.lax.stop_gradient(returns)
  losses = jnp.square(values - returns) / 2
  if clip is None:
    return losses
  old_values = jax.lax.stop_gradient(old_values)
  near = old_values + jnp.clip(values - old_values, -clip, clip)
  clipped = jnp.square(jax.lax.stop_gradient(near) - returns) / 2
  has_moved = jnp.abs(values - old_values) > clip
  # Where the value is within reach the two are one up to rounding, and the
  # gradient must not hang on that.
  return jnp.where(has_moved & (clipped > losses), clipped, losses)
