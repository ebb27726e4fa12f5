# SPDX-License-Identifier: Apache-2.0
"""How much each token counts: by tokens, by answers, or by a constant."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses.shapes import shape_checked

_REDUCTIONS = ("token", "sequence", "constant")


class TokenWeights(NamedTuple):
  """Results of `token_weights`; both are [B, T] float32, 0 outside the mask.

  Attributes:
    weights: What a token's loss is multiplied by.
    counts: What it adds to the divisor.
  """

  weights: Float[Array, "B T"]
  counts: Float[Array, "B T"]


@shape_checked
def token_weights(
  *,
  mask: Bool[Array, "B T"],
  reduction: str,
  max_length: int,
) -> TokenWeights:
  r"""Weights such that a loss is sum(weights * losses) / sum(counts).

  Both sums may be taken over any split of the batch, and divided once.

  * "token": each token counts alike, so long answers count more (DAPO, arXiv
    2503.14476, section 3.3).
  * "sequence": each answer counts alike, so tokens of long answers count less
    (GRPO, arXiv 2402.03300, eq. 3).
  * "constant": the sum over an answer's tokens over `max_length`, and the mean
    of those over answers, so that a token's weight hangs on no length (Dr.
    GRPO, arXiv 2503.20783, section 3).

  Args:
    mask: [B, T] True for response tokens. A row without any is no answer.
    reduction: "token", "sequence" or "constant".
    max_length: Tokens that an answer may have, at least 1; read by "constant"
      only.

  Returns:
    `TokenWeights` of [B, T].

  Raises:
    ValueError: An unknown `reduction`, or `max_length` below 1.

  Example:
    Answers of 1 and 3 tokens:

    >>> import jax.numpy as jnp
    >>> mask = jnp.array([[True, False, False], [True, True, True]])
    >>> out = token_weights(mask=mask, reduction="constant", max_length=4)
    >>> out.weights.tolist()
    [[0.25, 0.0, 0.0], [0.25, 0.25, 0.25]]
    >>> out.counts.tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
  """
  if reduction not in _REDUCTIONS:
    raise ValueError(f"reduction={reduction!r} must be one of {_REDUCTIONS}.")
  if max_length < 1:
    raise ValueError(
      f"max_length={max_length} must be at least 1: the tokens an answer may"
      " have."
    )
  ones = mask.astype(jnp.float32)
  if reduction == "token":
    return TokenWeights(ones, ones)
  if reduction == "sequence":
    lengths = jnp.sum(ones, axis=1, keepdims=True)
    shares = ones / jnp.maximum(lengths, 1.0)
    return TokenWeights(shares, shares)
  is_first = mask & (jnp.cumsum(mask, axis=1) == 1)
  return TokenWeights(ones / max_length, is_first.astype(jnp.float32))
