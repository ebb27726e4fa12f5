# SPDX-License-Identifier: Apache-2.0
"""Binary Cringe: learns good answers, contrasts the tokens of bad ones."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses import pairwise, unpaired
from ramjax.losses.lengths import reduce_by_length
from ramjax.losses.shapes import shape_checked
from ramjax.losses.unpaired import UnpairedLoss


@shape_checked
def cringe_token_losses(gaps: Float[Array, " N"]) -> Float[Array, " N"]:
  r"""Contrast of each token with its candidate, in nats.

  .. math:: -\log \frac{e^{z_{s^*}}}{e^{z_{s^*}} + e^{z_y}}
            = \mathrm{softplus}(z_y - z_{s^*})

  (Adolphs et al., arXiv 2211.05826, section 3). This pushes the token down;
  the same of the negated gaps pushes it up, which is what contrasting a
  desirable answer means.

  Args:
    gaps: [N] as `token_gaps` returned. A masked token's gap of 0 costs log 2
      here: the caller masks again before it sums.

  Returns:
    [N] float32; the gradient with respect to a gap is its sigmoid.

  Example:
    >>> import jax.numpy as jnp
    >>> [f"{loss:.4f}" for loss in cringe_token_losses(jnp.array([0.0, 1.0]))]
    ['0.6931', '1.3133']
  """
  return jax.nn.softplus(gaps)


@shape_checked
def cringe_loss(
  *,
  logps: Float[Array, " N"],
  gap_losses: Float[Array, " N"],
  lengths: Int[Array, " N"],
  labels: Bool[Array, " N"],
  alpha: float,
  contrast_positives: bool,
  logp_reduction: str,
) -> UnpairedLoss:
  r"""Binary Cringe loss of each answer, in nats; nothing is reduced over N.

  .. math:: \ell = \begin{cases} -\log p(y | x) \; [+ \alpha C^+] &
            \text{desirable} \\ \alpha C & \text{undesirable} \end{cases}

  with C the sum over the answer's tokens of `cringe_token_losses` (Adolphs et
  al., arXiv 2211.05826, section 3). The term in brackets is off in the paper and
  an option of its authors' code: the same contrast with the label reversed,
  the candidate being the bad one.

  The authors divide the batch's sum by its number of tokens; that is
  `logp_reduction="sum"` and a mean that is weighted by tokens.

  Args:
    logps: [N] log-probability of each answer, summed over its tokens.
    gap_losses: [N] sum over each answer's tokens of `cringe_token_losses`: of
      the gaps where undesirable, of the negated gaps where desirable. The
      latter are read if `contrast_positives`.
    lengths: [N] tokens of each answer.
    labels: [N] True where the answer is desirable.
    alpha: Weight of the contrast, at least 0. The authors' code: 1.
    contrast_positives: Whether desirable answers are contrasted too.
    logp_reduction: "sum" over an answer's tokens, or their "mean", of the
      log-probabilities and the contrast alike.

  Returns:
    `UnpairedLoss`; the rewards are the (reduced) log-probabilities.

  Raises:
    ValueError: `alpha` is negative or not finite, or `logp_reduction` is
      neither of the two.

  Example:
    >>> import jax.numpy as jnp
    >>> out = cringe_loss(logps=jnp.array([-3.0, -3.0]),
    ...                   gap_losses=jnp.array([2.0, 2.0]),
    ...                   lengths=jnp.array([2, 2]),
    ...                   labels=jnp.array([True, False]), alpha=0.5,
    ...                   contrast_positives=False, logp_reduction="sum")
    >>> out.losses.tolist()
    [3.0, 1.0]
  """
  pairwise.require_not_negative(alpha=alpha)
  rewards = reduce_by_length(logps, lengths, logp_reduction=logp_reduction)
  contrast = alpha * reduce_by_length(
    gap_losses, lengths, logp_reduction=logp_reduction
  )
  desirable = contrast - rewards if contrast_positives else -rewards
  losses = jnp.where(labels, desirable, contrast)
  return unpaired.with_rewards(losses, rewards)
