# SPDX-License-Identifier: Apache-2.0
"""Classification: a head learns which of C classes an answer belongs to."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def classification_loss(
  *,
  scores: Float[Array, "N C"],
  targets: Float[Array, "N 1"],
  label_smoothing: float,
) -> Float[Array, " N"]:
  r"""Cross-entropy of each example, in nats; nothing is reduced over N.

  .. math:: -(1 - \epsilon) \log p_t - \frac{\epsilon}{C} \sum_c \log p_c

  with p the softmax of the scores and label smoothing :math:`\epsilon` (Szegedy
  et al., arXiv 1512.00567, section 7).

  Args:
    scores: [N, C] unnormalised log-probabilities of the classes.
    targets: [N, 1] the class as a number 0, 1, ..., C - 1; NaN where it is not
      known.
    label_smoothing: Probability mass spread evenly over the classes, in [0, 1).

  Returns:
    [N] losses; 0, with gradient 0, where the class is not known; NaN where the
    target is a number that is no class.

  Raises:
    ValueError: `label_smoothing` is out of range, or C is below 2.

  Example:
    >>> import jax.numpy as jnp
    >>> loss = classification_loss(scores=jnp.zeros((1, 4)),
    ...                            targets=jnp.array([[2.0]]),
    ...                            label_smoothing=0.0)
    >>> f"{jnp.exp(loss[0]):.4f}"
    '4.0000'
  """
  num_classes = scores.shape[1]
  if num_classes < 2:
    raise ValueError(
      f"scores has C={num_classes} classes, which leaves nothing to tell apart:"
      " give at least 2."
    )
  if not 0 <= label_smoothing < 1:
    raise ValueError(
      f"label_smoothing={label_smoothing} must be in [0, 1): 0 turns it off."
    )
  known = ~jnp.isnan(targets[:, 0])
  is_target = targets == jnp.arange(num_classes)[None, :]
  # Selected before the softmax, too: 0 times NaN would be a gradient of NaN.
  logps = jax.nn.log_softmax(jnp.where(known[:, None], scores, 0.0), axis=1)
  losses = -jnp.sum(jnp.where(is_target, logps, 0.0), axis=1)
  if label_smoothing:
    spread = -jnp.mean(logps, axis=1)
    losses = (1 - label_smoothing) * losses + label_smoothing * spread
  is_class = jnp.any(is_target, axis=1)
  return jnp.where(is_class, losses, jnp.where(known, jnp.nan, 0.0))


def predictions(scores: Float[Array, "N C"]) -> Float[Array, "N 1"]:
  """The most likely class of each row, [N, 1] float32."""
  return jnp.argmax(scores, axis=1, keepdims=True).astype(jnp.float32)
