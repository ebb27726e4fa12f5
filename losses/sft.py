# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning: negative log-likelihood of the response tokens."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def sft_loss(
  *,
  token_logps: Float[Array, " N"],
  log_normalizers: Float[Array, " N"],
  mean_logps: Float[Array, " N"] | None = None,
  label_smoothing: float = 0.0,
  z_loss: float = 0.0,
) -> Float[Array, " N"]:
  r"""Per-token SFT loss, in nats; nothing is reduced over N.

  .. math:: -(1 - \epsilon) \log p(y) - \epsilon \frac1V \sum_v \log p(v)
            + \zeta \log^2 Z

  with label smoothing :math:`\epsilon` (Szegedy et al., arXiv 1512.00567,
  section 7) and z-loss :math:`\zeta` (PaLM, arXiv 2204.02311, section 5), both
  off by default. Which tokens count is the caller's mask: unsupervised
  positions get a value too, to be left out of the mean.

  Args:
    token_logps: [N] log-probability of each target token, in nats.
    log_normalizers: [N] log Z, the log of the sum of exp(logits).
    mean_logps: [N] mean over the vocabulary of log p(v), in nats; needed when
      `label_smoothing` is not 0.
    label_smoothing: Probability mass spread evenly over the vocabulary, in
      [0, 1).
    z_loss: Weight of the squared log-normalizer, at least 0. PaLM: 1e-4.

  Returns:
    [N] float32 losses; gradients flow to every input that is used.

  Raises:
    ValueError: `label_smoothing` or `z_loss` out of range, or `mean_logps`
      missing when it is needed.

  Example:
    A token of probability 1/4 costs log 4:

    >>> import jax.numpy as jnp
    >>> loss = sft_loss(token_logps=jnp.log(jnp.array([0.25])),
    ...                 log_normalizers=jnp.zeros(1))
    >>> f"{loss[0]:.4f}"
    '1.3863'
  """
  if not 0 <= label_smoothing < 1:
    raise ValueError(f"label_smoothing={label_smoothing} must be in [0, 1).")
  if z_loss < 0:
    raise ValueError(f"z_loss={z_loss} must be at least 0.")
  loss = -token_logps
  if label_smoothing:
    if mean_logps is None:
      raise ValueError(
        f"label_smoothing={label_smoothing} needs mean_logps: pass the mean"
        " log-probability over the vocabulary, or set label_smoothing=0."
      )
    loss = (1 - label_smoothing) * loss - label_smoothing * mean_logps
  if z_loss:
    loss = loss + z_loss * jnp.square(log_normalizers)
  return loss
