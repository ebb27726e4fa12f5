# SPDX-License-Identifier: Apache-2.0
"""Bradley-Terry: a reward head learns from which of two answers is better."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked

_MARGINS = ("none", "subtract", "scale")


@shape_checked
def bradley_terry_loss(
  *,
  chosen_scores: Float[Array, " N"],
  rejected_scores: Float[Array, " N"],
  margins: Float[Array, " N"],
  margin: str,
  label_smoothing: float,
  centering: float,
) -> PairwiseLoss:
  r"""Bradley-Terry loss of each pair, in nats; nothing is reduced over N.

  .. math:: w \left[ -(1 - \epsilon) \log \sigma(z) - \epsilon \log \sigma(-z)
            \right] + \kappa (r_c + r_r)^2, \quad z = r_c - r_r - m

  for the scores :math:`r_c` and :math:`r_r` of the chosen and the rejected
  answer (Ouyang et al., arXiv 2203.02155, eq. 1). How much better the chosen
  answer is, as the data says, does one of three things:

  * "none": it is ignored; m = 0, w = 1.
  * "subtract": m is the margin, which the scores have to keep (Llama 2, arXiv
    2307.09288, eq. 2); w = 1.
  * "scale": w is the margin, so that a clear preference counts as a vague one
    repeated (the scaled loss of HelpSteer2-Preference, arXiv
    2410.01257); m = 0. A pair whose margin is 0 trains nothing but
    the centering.

  The last term keeps the scores, which the rest determines up to a constant,
  near 0 (Eisenstein et al., arXiv 2312.09244).

  Args:
    chosen_scores: [N] scores of the better answers.
    rejected_scores: [N] scores of the worse answers.
    margins: [N] how much better the chosen answers are, from the data.
    margin: What the margins do: "none", "subtract" or "scale".
    label_smoothing: Probability :math:`\epsilon` that the data has a pair the
      wrong way round, in [0, 0.5).
    centering: Weight :math:`\kappa` of the squared sum of scores, at least 0.
      TRL suggests 0.01.

  Returns:
    `PairwiseLoss`; the rewards are the scores themselves.

  Raises:
    ValueError: `margin`, `label_smoothing` or `centering` is not allowed.

  Example:
    Scores that do not tell the two apart cost log 2:

    >>> import jax.numpy as jnp
    >>> zero = jnp.zeros(1)
    >>> result = bradley_terry_loss(
    ...   chosen_scores=zero, rejected_scores=zero, margins=zero,
    ...   margin="none", label_smoothing=0.0, centering=0.0)
    >>> f"{result.losses[0]:.4f}"
    '0.6931'
  """
  if margin not in _MARGINS:
    raise ValueError(
      f"margin={margin!r} must be one of {', '.join(map(repr, _MARGINS))}: choose"
      " 'none' for data without margins."
    )
  pairwise.require_label_smoothing(label_smoothing)
  pairwise.require_not_negative(centering=centering)
  gaps = chosen_scores - rejected_scores
  if margin == "subtract":
    gaps = gaps - margins
  losses = pairwise.logistic_link(gaps, label_smoothing)
  if margin == "scale":
    losses = margins * losses
  if centering:
    losses = losses + centering * jnp.square(chosen_scores + rejected_scores)
  return pairwise.with_rewards(losses, chosen_scores, rejected_scores)
