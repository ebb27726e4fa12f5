# SPDX-License-Identifier: Apache-2.0
"""What the losses of answers judged one by one return."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


class UnpairedLoss(NamedTuple):
  """Per-example results; every field is [N] float32.

  Attributes:
    losses: The loss of each example, reduced over nothing.
    rewards: The method's own measure of how good the model finds each answer,
      for metrics; carries no gradient.
  """

  losses: Float[Array, " N"]
  rewards: Float[Array, " N"]


@shape_checked
def with_rewards(
  losses: Float[Array, " N"], rewards: Float[Array, " N"]
) -> UnpairedLoss:
  """`UnpairedLoss` of [N] arrays, the rewards cut off from the gradient."""
  return UnpairedLoss(losses, jax.lax.stop_gradient(rewards))
