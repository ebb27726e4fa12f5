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


def scores_at(params: Any, hidden: jax.Array, places: jax.Array) -> jax.Array:
  """Scores of some places of each row.

  Whoever scores a whole answer reads it at its last token, found by lengths,
  never by comparing ids with a padding id.

  Args:
    params: With a score head.
    hidden: [B, T, D].
    places: [B, R] int32, each in 0..T-1.

  Returns:
    [B, R, labels] float32.
  """
  return scores(params, jnp.take_along_axis(hidden, places[..., None], axis=1))
