# SPDX-License-Identifier: Apache-2.0
"""Rewards of answers to one prompt, compared with each other."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked

_BASELINES = ("mean", "leave_one_out", "none")
_SCALES = ("std", "none")


@shape_checked
def group_advantages(
  *,
  rewards: Float[Array, "G K"],
  present: Bool[Array, "G K"],
  baseline: str,
  scale: str,
  eps: float = 1e-4,
) -> Float[Array, "G K"]:
  r"""How much better each answer is than the others of its group.

  .. math:: A_i = \frac{r_i - b_i}{s + \epsilon}

  ================= ======= ===========================================
  baseline          scale   method
  ================= ======= ===========================================
  "mean"            "std"   GRPO (arXiv 2402.03300, section 4.1.2)
  "mean"            "none"  Dr. GRPO (arXiv 2503.20783, section 3)
  "leave_one_out"   "none"  RLOO (arXiv 2402.14740): the mean of the
                            others, which keeps the gradient unbiased
  "none"            "none"  the rewards themselves
  ================= ======= ===========================================

  s is the standard deviation of the group with n - 1, as in TRL; the papers
  do not say which.

  Args:
    rewards: [G, K] one reward for each of K answers to each of G prompts.
    present: [G, K] False for answers that are missing; their rewards are not
      read and count in no mean.
    baseline: b, "mean", "leave_one_out" or "none".
    scale: s, "std", or "none" to divide by nothing, not even eps.
    eps: Added to the standard deviation, above 0. TRL: 1e-4.

  Returns:
    [G, K] float32, 0 for missing answers; no gradient flows. With a baseline
    or a scale, also 0 in groups of fewer than two present.

  Raises:
    ValueError: An unknown `baseline` or `scale`, `eps` out of range, or K = 1
      with a baseline or a scale: nothing to compare with.

  Example:
    >>> import jax.numpy as jnp
    >>> group = dict(rewards=jnp.array([[1.0, 2.0, 6.0]]),
    ...              present=jnp.ones((1, 3), bool), scale="none")
    >>> group_advantages(baseline="mean", **group).tolist()
    [[-2.0, -1.0, 3.0]]
    >>> group_advantages(baseline="leave_one_out", **group).tolist()
    [[-3.0, -1.5, 4.5]]
  """
  if baseline not in _BASELINES:
    raise ValueError(f"baseline={baseline!r} must be one of {_BASELINES}.")
  if scale not in _SCALES:
    raise ValueError(f"scale={scale!r} must be one of {_SCALES}.")
  if not 0 < eps < math.inf:
    raise ValueError(
      f"eps={eps} must be above 0 and finite, such as 1e-4: rewards that are"
      " all alike have a standard deviation of 0."
    )
  compares = baseline != "none" or scale != "none"
  if compares and rewards.shape[1] == 1:
    raise ValueError(
      f"baseline={baseline!r}, scale={scale!r} compare the answers to a"
      " prompt, and there is K=1 of them: sample at least 2, or set"
      " baseline='none' and scale='none'."
    )
  number = jnp.sum(present, axis=1, keepdims=True, dtype=jnp.float32)
  others = jnp.maximum(number - 1, 1.0)

  def total(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(present, x, 0.0), axis=1, keepdims=True)

  centered = rewards - total(rewards) / jnp.maximum(number, 1.0)
  # The mean's rounding error, taken off: answers that are all alike must get
  # 0, and 1000.1 three times has no exact mean.
  centered = centered - total(centered) / jnp.maximum(number, 1.0)
  if baseline == "mean":
    advantages = centered
  elif baseline == "leave_one_out":
    # r - (S - r) / (n - 1) = (r - S / n) n / (n - 1).
    advantages = centered * number / others
  else:
    advantages = rewards
  if scale == "std":
    deviation = jnp.sqrt(total(jnp.square(centered)) / others)
    advantages = advantages / (deviation + eps)
  counts = present & (number >= 2) if compares else present
  return jax.lax.stop_gradient(jnp.where(counts, advantages, 0.0))
