# SPDX-License-Identifier: Apache-2.0
"""From rewards of tokens to what each token was worth: GAE and returns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked


class Advantages(NamedTuple):
  """Results of `gae`; both are [B, T] float32 without a gradient.

  Attributes:
    advantages: How much better than expected each token was.
    returns: What the value head should have said: advantages plus values.
  """

  advantages: Float[Array, "B T"]
  returns: Float[Array, "B T"]


@shape_checked
def gae(
  *,
  rewards: Float[Array, "B T"],
  values: Float[Array, "B T"],
  mask: Bool[Array, "B T"],
  gamma: float,
  lam: float,
) -> Advantages:
  r"""Generalised advantage estimates of each response's tokens.

  .. math:: A_t = \sum_{l \ge 0} (\gamma \lambda)^l \delta_{t+l}, \quad
            \delta_t = r_t + \gamma V_{t+1} - V_t

  (Schulman et al., arXiv 1506.02438, eq. 16). A response ends for good: after
  its last token the value is 0, whatever the head says there.

  Args:
    rewards: [B, T] of row i's response tokens at 0..length-1; what lies
      beyond is not read.
    values: [B, T] the value before each token is chosen, in the same unit.
    mask: [B, T] True for response tokens, which come first and in one run.
    gamma: Discount per token, in [0, 1]. Language models: 1.
    lam: Between the one-step error (0) and the whole return (1). PPO: 0.95.

  Returns:
    `Advantages` of [B, T], 0 where the mask is False; no gradient flows.

  Raises:
    ValueError: `gamma` or `lam` outside [0, 1].

  Example:
    Values 1 and 2, a reward of 3 at the end, gamma 1, lambda 1/2: errors 1 and
    1, so advantages 3/2 and 1.

    >>> import jax.numpy as jnp
    >>> out = gae(rewards=jnp.array([[0.0, 3.0]]),
    ...           values=jnp.array([[1.0, 2.0]]),
    ...           mask=jnp.ones((1, 2), bool), gamma=1.0, lam=0.5)
    >>> out.advantages.tolist(), out.returns.tolist()
    ([[1.5, 1.0]], [[2.5, 3.0]])
  """
  _require_share(gamma=gamma, lam=lam)
  values = jnp.where(mask, values, 0.0)
  next_values = jnp.pad(values[:, 1:], ((0, 0), (0, 1)))
  errors = rewards + gamma * next_values - values
  advantages = _discounted_sums(errors, mask, gamma * lam)
  returns = jnp.where(mask, advantages + values, 0.0)
  return Advantages(
    jax.lax.stop_gradient(advantages), jax.lax.stop_gradient(returns)
  )


@shape_checked
def discounted_returns(
  *,
  rewards: Float[Array, "B T"],
  mask: Bool[Array, "B T"],
  gamma: float,
) -> Float[Array, "B T"]:
  r"""Sum of the rewards from each token on, :math:`\sum_l \gamma^l r_{t+l}`.

  Args:
    rewards: [B, T] as in `gae`.
    mask: [B, T] as in `gae`.
    gamma: Discount per token, in [0, 1].

  Returns:
    [B, T] float32, 0 where the mask is False; no gradient flows.

  Raises:
    ValueError: `gamma` outside [0, 1].

  Example:
    >>> import jax.numpy as jnp
    >>> discounted_returns(rewards=jnp.array([[1.0, 0.0, 4.0]]),
    ...                    mask=jnp.ones((1, 3), bool), gamma=0.5).tolist()
    [[2.0, 2.0, 4.0]]
  """
  _require_share(gamma=gamma)
  return jax.lax.stop_gradient(_discounted_sums(rewards, mask, gamma))


def _discounted_sums(
  terms: jax.Array, mask: jax.Array, decay: float
) -> jax.Array:
  """[B, T] sums from each position on; the mask's False ones end them."""

  def step(later: jax.Array, column: tuple[jax.Array, jax.Array]):
    term, counts = column
    total = jnp.where(counts, term + decay * later, 0.0)
    return total, total

  nothing = jnp.zeros_like(terms[:, 0])
  _, sums = jax.lax.scan(step, nothing, (terms.T, mask.T), reverse=True)
  return sums.T


def _require_share(**values: float) -> None:
  for name, value in values.items():
    if not 0 <= value <= 1:
      raise ValueError(
        f"{name}={value} must be in [0, 1]: 1.0 counts what comes later in"
        " full, 0.0 not at all."
      )
