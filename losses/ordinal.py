# SPDX-License-Identifier: Apache-2.0
"""Ordinal: a head learns ordered grades, one threshold at a time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def ordinal_loss(
  *,
  scores: Float[Array, "N T"],
  targets: Float[Array, "N 1"],
) -> Float[Array, " N"]:
  r"""Cumulative logistic loss of each grade, in nats; not reduced over N.

  C ordered grades have T = C - 1 thresholds between them, and the head says of
  each how likely the grade lies above: score c is the logit of P(grade > c).

  .. math:: -\sum_{c=0}^{C-2} \left[ 1_{t > c} \log \sigma(s_c)
            + 1_{t \le c} \log \sigma(-s_c) \right]

  (Cao et al., CORAL, arXiv 1901.07884, with all thresholds weighted
  alike). Unlike a classifier's, the error grows with the distance of
  the grades; unlike in a regression, they need not be evenly spaced. The
  expected grade is the sum of :math:`\sigma(s_c)`.

  Args:
    scores: [N, C - 1] logits of the grade lying above 0, 1, ..., C - 2. That
      they fall along the row is left to the head.
    targets: [N, 1] grades 0, 1, ..., C - 1; NaN where there is none.

  Returns:
    [N] losses; 0, with gradient 0, where there is no grade; NaN where the
    target is a number that is no grade.

  Raises:
    ValueError: There is no threshold.

  Example:
    Three grades; logits of 0 leave both thresholds to a coin:

    >>> import jax.numpy as jnp
    >>> loss = ordinal_loss(scores=jnp.zeros((1, 2)),
    ...                     targets=jnp.array([[1.0]]))
    >>> f"{jnp.exp(loss[0]):.4f}"
    '4.0000'
  """
  thresholds = scores.shape[1]
  if thresholds < 1:
    raise ValueError(
      "scores has no threshold: C grades have C - 1 of them, and there are at"
      " least 2 grades."
    )
  graded = ~jnp.isnan(targets[:, 0])
  grades = jnp.arange(thresholds + 1)[None, :]
  is_grade = jnp.any(targets == grades, axis=1)
  above = targets > grades[:, :-1]
  # Selected before the softplus, too: 0 times NaN would be a gradient of NaN.
  scores = jnp.where(graded[:, None], scores, 0.0)
  losses = jnp.sum(jax.nn.softplus(jnp.where(above, -scores, scores)), axis=1)
  return jnp.where(is_grade, losses, jnp.where(graded, jnp.nan, 0.0))


def predictions(scores: Float[Array, "N T"]) -> Float[Array, "N 1"]:
  """The grade that each row most likely exceeds no further.

  Args:
    scores: [N, C - 1] as for `ordinal_loss`.

  Returns:
    [N, 1] float32: how many thresholds are more likely passed than not.
  """
  return jnp.sum(scores > 0, axis=1, keepdims=True).astype(jnp.float32)
