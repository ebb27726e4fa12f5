# SPDX-License-Identifier: Apache-2.0
"""Heads: functions of hidden states."""

from typing import Any

import jax
import jax.numpy as jnp

from ramjax.models.config import LlamaConfig


def lm_kernel(params: Any, config: LlamaConfig) -> jax.Array:
  """The LM head's matrix [D, V]: its own, or the embedding transposed."""
  if config.tie_embeddings:
    return params["embed"]["embedding"].T
  return params["lm_head"]["kernel"]


def lm_logits(params: Any, config: LlamaConfig, hidden: jax.Array) -> jax.Array:
  """Next-token logits of `hidden` [..., D]: [..., V] float32.

  Training never calls this on a whole batch (`losses.token_logps` works in
  chunks, on supervised tokens only); sampling and evaluation do on few tokens.
  """
  kernel = lm_kernel(params, config).astype(hidden.dtype)
  return jnp.matmul(hidden, kernel, preferred_element_type=jnp.float32)
