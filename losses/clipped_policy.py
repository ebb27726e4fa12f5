# SPDX-License-Identifier: Apache-2.0
"""PPO's clipped surrogate of a policy's improvement, per token."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked

# exp(20) is 4.9e8: thousands of such tokens still add up in float32.
_LARGEST_LOG_RATIO = 20.0


class ClippedPolicy(NamedTuple):
  """Per-token results of `clipped_policy`; both are [N].

  Attributes:
    losses: One number a token, to be weighted and summed by the caller.
    clipped: True where a bound holds, and the token has no gradient.
  """

  losses: Float[Array, " N"]
  clipped: Bool[Array, " N"]


@shape_checked
def clipped_policy(
  *,
  log_ratios: Float[Array, " N"],
  advantages: Float[Array, " N"],
  clip_low: float,
  clip_high: float,
  dual_clip: float | None = None,
) -> ClippedPolicy:
  r"""Per-token clipped policy loss; nothing is reduced over N.

  .. math:: -\min(\rho A,\ \mathrm{clip}(\rho, 1 - \epsilon_{low},
            1 + \epsilon_{high})\, A)

  with :math:`\rho` the token's probability under the policy over that at the
  time of sampling: PPO (arXiv 1707.06347, eq. 7), with DAPO's separate bounds
  (arXiv 2503.14476, eq. 8). The bounds stop a token that has already moved as
  far as it should; a bad token that became far more likely has none, unless
  `dual_clip` c is set, which bounds the loss of negative advantages by
  :math:`-cA` (arXiv 1912.09729).

  `log_ratios` may be of tokens, or the mean over a response repeated for each
  of its tokens, which makes :math:`\rho` the ratio of GSPO (arXiv 2507.18071,
  eq. 7) when tokens are weighted by 1/length: that is the caller's choice.

  Args:
    log_ratios: [N] log rho, in nats; taken as -20 or 20 beyond these, with a
      gradient of 0, so that rho is finite.
    advantages: [N] how much better than expected a token was; no gradient
      flows to it. 0 for padding, which then has neither loss nor gradient.
    clip_low: How far rho may fall below 1, in (0, 1]. PPO: 0.2.
    clip_high: How far it may rise above 1, above 0. PPO: 0.2, DAPO: 0.28.
    dual_clip: Largest rho of a negative advantage, above 1, or None for no
      such bound. The paper: 3.

  Returns:
    `ClippedPolicy` of [N] arrays; gradients of the losses flow to `log_ratios`
    and are :math:`-\rho A` where nothing is clipped, 0 elsewhere.

  Raises:
    ValueError: A bound out of its range.

  Example:
    A good token already 1.5 times as likely counts as 1.2 times:

    >>> import jax.numpy as jnp
    >>> out = clipped_policy(log_ratios=jnp.log(jnp.array([1.5])),
    ...                      advantages=jnp.array([2.0]),
    ...                      clip_low=0.2, clip_high=0.2)
    >>> f"{out.losses[0]:.2f}", bool(out.clipped[0])
    ('-2.40', True)
  """
  if not 0 < clip_low <= 1:
    raise ValueError(
      f"clip_low={clip_low} must be in (0, 1]: a ratio is at least 0. PPO has"
      " 0.2; 1.0 is no lower bound."
    )
  if not 0 < clip_high < math.inf:
    raise ValueError(
      f"clip_high={clip_high} must be above 0 and finite: PPO has 0.2, DAPO"
      " 0.28."
    )
  if dual_clip is not None and not 1 < dual_clip < math.inf:
    raise ValueError(
      f"dual_clip={dual_clip} must be above 1 and finite, such as 3.0, or None"
      " for no such bound."
    )
  advantages = jax.lax.stop_gradient(advantages)
  ratios = jnp.exp(
    jnp.clip(log_ratios, -_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
  )
  # The minimum, by its cases: a selection has no ties for gradients to be
  # split at.
  risen = (advantages > 0) & (ratios > 1 + clip_high)
  fallen = (advantages < 0) & (ratios < 1 - clip_low)
  bounded = jnp.where(risen, 1 + clip_high, ratios)
  bounded = jnp.where(fallen, 1 - clip_low, bounded)
  clipped = risen | fallen
  if dual_clip is not None:
    run_away = (advantages < 0) & (ratios > dual_clip)
    bounded = jnp.where(run_away, dual_clip, bounded)
    clipped = clipped | run_away
  return ClippedPolicy(-bounded * advantages, clipped)
