# SPDX-License-Identifier: Apache-2.0
"""Numbers of tokens brought to one scale over a whole batch."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def whiten(
  *,
  values: Float[Array, "B T"],
  mask: Bool[Array, "B T"],
  shift_mean: bool = True,
  eps: float = 1e-8,
) -> Float[Array, "B T"]:
  r"""Values over their standard deviation, and around 0 if `shift_mean`.

  .. math:: \frac{x - \bar x}{\sqrt{s^2 + \epsilon}} \;(+ \bar x), \quad
            s^2 = \frac{1}{n - 1} \sum (x - \bar x)^2

  over the n entries of the mask, all rows together: the unbiased variance,
  with n - 1 (Bessel's correction), as the `masked_whiten` of TRL's PPO had it
  until PPO left TRL, before 1.16. The code of Ziegler et al. (arXiv
  1909.08593) divides by n. To whiten a batch, pass all of it: parts have means
  of their own.

  Args:
    values: [B, T] such as advantages; what lies under the mask is not read.
    mask: [B, T] True where a value counts.
    shift_mean: False leaves the mean where it was, for rewards.
    eps: Added to the variance, above 0.

  Returns:
    [B, T] float32, 0 where the mask is False; no gradient flows. A single
    entry counts as of variance 0.

  Raises:
    ValueError: `eps` is not above 0 and finite.

  Example:
    Mean 2, variance 2:

    >>> import jax.numpy as jnp
    >>> out = whiten(values=jnp.array([[1.0, 3.0, 9.0]]),
    ...              mask=jnp.array([[True, True, False]]))
    >>> [f"{x:.4f}" for x in out[0]]
    ['-0.7071', '0.7071', '0.0000']
  """
  if not 0 < eps < math.inf:
    raise ValueError(
      f"eps={eps} must be above 0 and finite, such as 1e-8: values that are"
      " all alike have a variance of 0."
    )
  number = jnp.sum(mask, dtype=jnp.float32)

  def mean(x: jax.Array, number: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(number, 1.0)

  center = mean(values, number)
  # The mean's rounding error, taken off: values that are all alike must end
  # at 0, and a small eps would blow up what is left of 1000.1 - 1000.1.
  center = center + mean(values - center, number)
  centered = values - center
  variance = mean(jnp.square(centered), number - 1)
  whitened = centered * jax.lax.rsqrt(variance + eps)
  if not shift_mean:
    whitened = whitened + center
  return jax.lax.stop_gradient(jnp.where(mask, whitened, 0.0))
