# SPDX-License-Identifier: Apache-2.0
"""Heads: functions of hidden states."""

from typing import Any

import jax
import jax.numpy as jnp

from ramjax.models import lora
from ramjax.models.config import LlamaConfig
from ramjax.models.lora_config import LM_HEAD


def lm_kernel(params: Any, config: LlamaConfig) -> jax.Array:
  """The LM head's matrix [D, V]: its own, or the embedding transposed."""
  if config.tie_embeddings:
    return params["embed"]["embedding"].T
  head = params["lm_head"]
  if config.lora is None or config.lora.module(LM_HEAD) is None:
    return head["kernel"]
  (scale,) = config.lora.scales(LM_HEAD)
  kernel = head["kernel"].astype(jnp.float32)
  return lora.merged_kernel(kernel, head, scale)


def lm_logits(params: Any, config: LlamaConfig, hidden: jax.Array) -> jax.Array:
  """Next-token logits of `hidden` [..., D]: [..., V] float32.

  Training never calls this on a whole batch (`losses.token_logps` works in
  chunks, on supervised tokens only); sampling and evaluation do on few tokens.
  """
  kernel = lm_kernel(params, config).astype(hidden.dtype)
  return jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32)


def scores(params: Any, hidden: jax.Array) -> jax.Array:
  """Outputs of the score head for `hidden` [..., D]: [..., labels] float32."""
  kernel = params["score"]["kernel"].astype(hidden.dtype)
  return jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32)


def row_scores(params: Any, hidden: jax.Array, lengths: jax.Array) -> jax.Array:
  """Scores of whole rows, read at each one's last token.

  Args:
    params: With a score head.
    hidden: [B, T, D].
    lengths: [B] int32, real tokens of each row, at least 1. The last token is
      found by length, never by comparing ids with a padding id.

  Returns:
    [B, labels] float32.
  """
  last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
  return scores(params, last[:, 0])
