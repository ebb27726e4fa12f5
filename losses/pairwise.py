# SPDX-License-Identifier: Apache-2.0
"""What the losses of preference pairs share: result, link, scores, ranges."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses.shapes import shape_checked

# exp(80) is 5.5e34: still a float32, also times any sensible beta.
_LARGEST_EXPONENT = 80.0


class PairwiseLoss(NamedTuple):
  """Per-pair results of a preference loss; every field is [N] float32.

  Attributes:
    losses: One number a pair, to be averaged by the caller.
    chosen_rewards: The method's implicit reward of the chosen response, for
      metrics; carries no gradient.
    rejected_rewards: The same of the rejected response.
  """

  losses: Float[Array, " N"]
  chosen_rewards: Float[Array, " N"]
  rejected_rewards: Float[Array, " N"]


@shape_checked
def with_rewards(
  losses: Float[Array, " N"],
  chosen_rewards: Float[Array, " N"],
  rejected_rewards: Float[Array, " N"],
) -> PairwiseLoss:
  """`PairwiseLoss` of [N] arrays, the rewards cut off from the gradient."""
  return PairwiseLoss(
    losses,
    jax.lax.stop_gradient(chosen_rewards),
    jax.lax.stop_gradient(rejected_rewards),
  )


@shape_checked
def log_ratio(
  logps: Float[Array, " N"], ref_logps: Float[Array, " N"]
) -> Float[Array, " N"]:
  r""":math:`\log \pi(y) - \log \pi_{ref}(y)`, [N] nats.

  Gradient flows to the policy only: the reference is frozen.
  """
  return logps - jax.lax.stop_gradient(ref_logps)


@shape_checked
def length_mean(
  logps: Float[Array, " N"], lengths: Int[Array, " N"]
) -> Float[Array, " N"]:
  """A response's sum over its tokens as a mean per token, [N] nats.

  A length of 0, as padding rows have, counts as 1: their zeros stay zeros
  and their gradients finite.
  """
  return logps / jnp.maximum(lengths, 1).astype(logps.dtype)


@shape_checked
def logistic_link(
  margins: Float[Array, " N"], label_smoothing: float = 0.0
) -> Float[Array, " N"]:
  r"""Cost of a reward margin under Bradley and Terry's model, [N] nats.

  .. math:: -(1 - \epsilon) \log \sigma(m) - \epsilon \log \sigma(-m)

  with :math:`\epsilon` the assumed probability that the labels of the pair
  are swapped. Finite for every finite margin.
  """
  losses = -jax.nn.log_sigmoid(margins)
  if label_smoothing:
    flipped = -jax.nn.log_sigmoid(-margins)
    losses = (1 - label_smoothing) * losses + label_smoothing * flipped
  return losses


@shape_checked
def bounded_expm1(exponents: Float[Array, " N"]) -> Float[Array, " N"]:
  """exp(x) - 1, [N], with x above 80 taken as 80: float32 ends at exp(88).

  Beyond the bound the gradient is 0, not infinite.
  """
  return jnp.expm1(jnp.minimum(exponents, _LARGEST_EXPONENT))


@shape_checked
def matched_by_rank(
  values: Float[Array, " N"],
  others: Float[Array, " N"],
  mask: Bool[Array, " N"],
) -> Float[Array, " N"]:
  """For each of `values`, the one of `others` that has the same rank.

  Args:
    values: [N] numbers to be ranked.
    others: [N] numbers to be handed out by rank.
    mask: [N] True for real rows; the others take part in neither order.

  Returns:
    [N] the matched numbers, 0 where the mask is False.
  """
  order = jnp.argsort(jnp.where(mask, values, jnp.inf))
  handed_out = jnp.sort(jnp.where(mask, others, jnp.inf))
  matched = jnp.zeros_like(others).at[order].set(handed_out)
  return jnp.where(mask, matched, 0.0)


def require_positive(**values: float) -> None:
  """Refuses hyperparameters that are not finite and above 0.

  Raises:
    ValueError: The first such, by name.
  """
  for name, value in values.items():
    if not 0 < value < math.inf:
      raise ValueError(
        f"{name}={value} must be above 0 and finite: set {name} to such a"
        " number, often between 0.01 and 10."
      )


def require_not_negative(**values: float) -> None:
  """Refuses hyperparameters that are negative or not finite.

  Raises:
    ValueError: The first such, by name.
  """
  for name, value in values.items():
    if not 0 <= value < math.inf:
      raise ValueError(
        f"{name}={value} must be at least 0 and finite: set {name}=0.0 to"
        " leave its term out."
      )


def require_label_smoothing(label_smoothing: float) -> None:
  """Refuses a share of swapped labels outside [0, 0.5).

  Raises:
    ValueError: At a half and above, the labels say nothing or the opposite.
  """
  if not 0 <= label_smoothing < 0.5:
    raise ValueError(
      f"label_smoothing={label_smoothing} must be in [0, 0.5): it is the"
      " share of pairs assumed to be labelled the wrong way round."
    )
