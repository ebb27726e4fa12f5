# SPDX-License-Identifier: Apache-2.0
"""Direct preference optimisation, with its noise and divergence options."""

import math

import jax
from jaxtyping import Array, Float

from ramjax.losses import pairwise
from ramjax.losses.pairwise import PairwiseLoss
from ramjax.losses.shapes import shape_checked

_DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


@shape_checked
def dpo_loss(
  *,
  chosen_logps: Float[Array, " N"],
  rejected_logps: Float[Array, " N"],
  ref_chosen_logps: Float[Array, " N"],
  ref_rejected_logps: Float[Array, " N"],
  beta: float,
  label_smoothing: float = 0.0,
  divergence: str = "reverse_kl",
  divergence_alpha: float | None = None,
) -> PairwiseLoss:
  r"""Per-pair DPO loss; nothing is reduced over N.

  With the implicit reward of a response y

  .. math:: r(y) = \beta f'(u), \quad u = \pi(y) / \pi_{ref}(y)

  and :math:`m = r(y_{chosen}) - r(y_{rejected})`, the loss of a pair is

  .. math:: -(1 - \epsilon) \log \sigma(m) - \epsilon \log \sigma(-m).

  DPO is :math:`f'(u) = \log u` and :math:`\epsilon = 0` (Rafailov et al.,
  arXiv 2305.18290, Eq. 7). `label_smoothing` is cDPO (Mitchell's note on noisy
  preferences, https://ericmitchell.ai/cdpo.pdf, Eq. 3), `divergence` is f-DPO
  (Wang et al., arXiv 2309.16240, Table 1 and section 4). Up to a constant,
  chosen so that the reward is 0 at :math:`u = 1` and the same for both
  responses, :math:`f'(u)` is

  * "reverse_kl": :math:`\log u`,
  * "forward_kl": :math:`1 - 1/u`,
  * "js": :math:`\log(2u / (1 + u))`,
  * "alpha": :math:`(1 - u^{-\alpha}) / \alpha`, between the first two.

  A ratio is cut off where a power of it would pass exp(80): only there
  "forward_kl" and "alpha" pull no more on the response.

  Args:
    chosen_logps: [N] log-probability of the chosen response under the policy,
      in nats, summed (not averaged) over the response's tokens.
    rejected_logps: [N] as `chosen_logps`, of the rejected response.
    ref_chosen_logps: [N] as `chosen_logps`, under the frozen reference.
    ref_rejected_logps: [N] as `rejected_logps`, under the frozen reference.
    beta: Strength of the implicit KL penalty, above 0.
    label_smoothing: Assumed share, in [0, 0.5), of pairs whose labels are
      swapped.
    divergence: What keeps the policy near the reference: "reverse_kl",
      "forward_kl", "js" or "alpha".
    divergence_alpha: In (0, 1); for "alpha", and only for it.

  Returns:
    `PairwiseLoss` of [N] arrays; the rewards are beta f'(u). Gradients flow to
    the policy's log-probabilities only.

  Raises:
    ValueError: `beta`, `label_smoothing` or `divergence_alpha` out of range,
      `divergence` unknown, or `divergence_alpha` missing or not used.

  Example:
    A margin of 10 nats in favour of the chosen response, at beta 0.1, costs
    log(1 + exp(-1)):

    >>> import jax.numpy as jnp
    >>> zero, ten = jnp.zeros(1), jnp.full(1, 10.0)
    >>> out = dpo_loss(
    ...   chosen_logps=ten, rejected_logps=zero, ref_chosen_logps=zero,
    ...   ref_rejected_logps=zero, beta=0.1)
    >>> f"{out.losses[0]:.4f}"
    '0.3133'
  """
  pairwise.require_positive(beta=beta)
  pairwise.require_label_smoothing(label_smoothing)
  _require_divergence(divergence, divergence_alpha)
  chosen = beta * _score(
    pairwise.log_ratio(chosen_logps, ref_chosen_logps),
    divergence,
    divergence_alpha,
  )
  rejected = beta * _score(
    pairwise.log_ratio(rejected_logps, ref_rejected_logps),
    divergence,
    divergence_alpha,
  )
  losses = pairwise.logistic_link(chosen - rejected, label_smoothing)
  return pairwise.with_rewards(losses, chosen, rejected)


def _require_divergence(divergence: str, alpha: float | None) -> None:
  if divergence not in _DIVERGENCES:
    raise ValueError(
      f"divergence={divergence!r} is unknown: choose one of"
      f" {', '.join(_DIVERGENCES)}."
    )
  if divergence != "alpha" and alpha is not None:
    raise ValueError(
      f"divergence_alpha={alpha} is not used with divergence={divergence!r}:"
      ' remove it, or set divergence="alpha".'
    )
  if divergence == "alpha" and (alpha is None or not 0 < alpha < 1):
    raise ValueError(
      f"divergence_alpha={alpha} must be in (0, 1) with divergence='alpha':"
      ' its limits 0 and 1 are divergence="reverse_kl" and "forward_kl".'
    )


def _score(log_ratios: Array, divergence: str, alpha: float | None) -> Array:
  """f'(u) of log u, [N]."""
  if divergence == "forward_kl":
    return -pairwise.bounded_expm1(-log_ratios)
  if divergence == "js":
    return math.log(2) + jax.nn.log_sigmoid(log_ratios)
  if alpha is not None:
    return -pairwise.bounded_expm1(-alpha * log_ratios) / alpha
  return log_ratios
