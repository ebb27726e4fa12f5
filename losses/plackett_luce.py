# SPDX-License-Identifier: Apache-2.0
"""Plackett-Luce: a reward head learns from a ranking of K answers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked

# The score of an answer that is not there: nothing next to any other, yet
# finite, so that no gradient becomes infinity minus infinity.
_ABSENT = -1e30


@shape_checked
def plackett_luce_loss(
  *,
  scores: Float[Array, "N K"],
  present: Bool[Array, "N K"],
) -> Float[Array, " N"]:
  r"""Plackett-Luce loss of each ranking, in nats; not reduced over N.

  The ranking is drawn from the top: each place goes to one of the answers that
  are left, with probability proportional to :math:`e^r`.

  .. math:: -\sum_{k=1}^{K-1} \log \frac{e^{r_k}}{\sum_{j \ge k} e^{r_j}}

  The maximum-likelihood estimate for K-wise comparisons of Zhu et al., arXiv
  2301.11270, with which Starling's reward model is trained. For K = 2 it is the
  Bradley-Terry loss. It is a sum over the places, so that a long ranking
  counts more than a short one.

  Args:
    scores: [N, K] scores of the answers, the best answer first.
    present: [N, K] True where there is an answer; the others take no part,
      whatever their scores are.

  Returns:
    [N] losses; 0 for a row with fewer than two answers.

  Raises:
    ValueError: K is below 2.

  Example:
    Three answers with one score can be ranked in 3 * 2 ways:

    >>> import jax.numpy as jnp
    >>> loss = plackett_luce_loss(scores=jnp.zeros((1, 3)),
    ...                           present=jnp.ones((1, 3), bool))
    >>> f"{jnp.exp(loss[0]):.4f}"
    '6.0000'
  """
  if scores.shape[1] < 2:
    raise ValueError(
      f"scores has K={scores.shape[1]} answers a row, which is no ranking: give"
      " at least 2."
    )
  scores = jnp.where(present, scores, _ABSENT)
  # Of the answers behind each one, the log of the sum of exp(score).
  behind = jax.lax.cumlogsumexp(scores[:, 1:], axis=1, reverse=True)
  places = jax.nn.softplus(behind - scores[:, :-1])
  return jnp.sum(jnp.where(present[:, :-1], places, 0.0), axis=1)
