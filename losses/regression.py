# SPDX-License-Identifier: Apache-2.0
"""Regression: a head learns the ratings of an answer's attributes."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def regression_loss(
  *,
  scores: Float[Array, "N A"],
  targets: Float[Array, "N A"],
) -> Float[Array, "N A"]:
  r"""Squared error of each attribute; reduced over neither N nor A.

  .. math:: (s - t)^2

  as the attribute models of SteerLM (Dong et al., arXiv 2310.05344) and
  HelpSteer2 (Wang et al., arXiv 2406.08673) are trained, whose attributes are
  rated from 0 to 4. An attribute that nobody rated costs
  nothing; the caller's mean is over the rated ones, or counts it as 0.

  Args:
    scores: [N, A] what the head says of each attribute.
    targets: [N, A] the ratings; NaN where there is none.

  Returns:
    [N, A] squared errors; 0, with gradient 0, where there is no rating.

  Example:
    >>> import jax.numpy as jnp
    >>> regression_loss(scores=jnp.array([[3.0, 1.0]]),
    ...                 targets=jnp.array([[1.0, jnp.nan]])).tolist()
    [[4.0, 0.0]]
  """
  rated = ~jnp.isnan(targets)
  # Selected before the square: 0 times NaN would be NaN in the gradient.
  return jnp.square(jnp.where(rated, scores - jnp.where(rated, targets, 0), 0))


def predictions(scores: Float[Array, "N A"]) -> Float[Array, "N A"]:
  """The ratings that the scores are: themselves."""
  return scores
