# SPDX-License-Identifier: Apache-2.0
"""CUT: unlearns the tokens that a written judgement of an answer explains."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses import pairwise
from ramjax.losses.shapes import shape_checked
from ramjax.losses.unlikelihood import token_unlikelihoods


@shape_checked
def cut_loss(
  *,
  token_logps: Float[Array, " N"],
  conditioned_token_logps: Float[Array, " N"],
  flagged: Bool[Array, " N"],
  alpha: float,
  threshold: float,
) -> Float[Array, " N"]:
  r"""Per-token CUT loss, in nats; nothing is reduced over N.

  A token of an answer is scored twice: after the plain prompt, p(y), and after
  the prompt with the judgement written into it, p(y | j). Where the answer was
  approved, its loss is :math:`-\log p(y)`. Where the judgement finds fault,

  .. math:: \tfrac12 \left[ -\log p(y | j) + \begin{cases}
            -\alpha \log(1 - p(y)) & p(y | j) / p(y) > \lambda \\
            -\log p(y) & \text{otherwise} \end{cases} \right]

  (Xu et al., arXiv 2312.14591, section 4): a token that becomes more probable
  once one knows what is wrong is part of what is wrong. The ratio decides and
  carries no gradient.

  Args:
    token_logps: [N] log p(y) of each token, after the plain prompt.
    conditioned_token_logps: [N] log p(y | j) of the same token, after the
      prompt with the judgement. Not read where the answer was approved.
    flagged: [N] True where the token's answer got a negative judgement.
    alpha: Weight of the unlikelihood, at least 0. The authors: 0.5 to 1.
    threshold: :math:`\lambda`, above 0. The authors: 1.1 to 1.2.

  Returns:
    [N] float32 losses. Which tokens count is the caller's mask, as for
    `sft_loss`: unsupervised positions get a finite value too.

  Raises:
    ValueError: `alpha` is negative, `threshold` is not above 0, or one of them
      is not finite.

  Example:
    Judged bad, twice as probable with the judgement: 0.5 (log 4 + log 8/7).

    >>> import jax.numpy as jnp
    >>> loss = cut_loss(token_logps=jnp.log(jnp.array([0.125])),
    ...                 conditioned_token_logps=jnp.log(jnp.array([0.25])),
    ...                 flagged=jnp.array([True]), alpha=1.0, threshold=1.1)
    >>> f"{loss[0]:.4f}"
    '0.7599'
  """
  pairwise.require_not_negative(alpha=alpha)
  pairwise.require_positive(threshold=threshold)
  ratios = jnp.exp(jax.lax.stop_gradient(conditioned_token_logps - token_logps))
  plain = jnp.where(
    ratios > threshold,
    alpha * token_unlikelihoods(token_logps),
    -token_logps,
  )
  judged = 0.5 * (plain - conditioned_token_logps)
  return jnp.where(flagged, judged, -token_logps)
