# SPDX-License-Identifier: Apache-2.0
"""Causal grouped-query attention: one dispatch table of backends.

Axis letters as in `layers.py`. A backend gets the structure (segments, causal
order), never a dense mask, so that flash kernels can serve it. The check for
every backend is the same: packed rows equal unpacked ones, and no token's
output changes when another segment does.
"""

import jax
import jax.numpy as jnp

from ramjax.models.attention_cudnn import cudnn_attention
from ramjax.models.attention_splash import splash_attention
from ramjax.models.attention_xla import (
  in_reach,
  masked_attention,
  xla_attention,
)

# In each, (query, key, value, segment_ids, branch_ids, window) to the output.
BACKENDS = {
  "xla": xla_attention,
  "splash": splash_attention,
  "cudnn": cudnn_attention,
}

# Those that run on a platform, the one that "auto" takes first.
_ON_PLATFORM = {
  "cpu": ("xla",),
  "gpu": ("cudnn", "xla"),
  "tpu": ("splash", "xla"),
}


def choose_backend(name: str, platform: str, *, cudnn: bool) -> str:
  """The backend that a setting means on a platform.

  Args:
    name: "auto", or a name in `BACKENDS`.
    platform: "cpu", "gpu" ("cuda" is the same) or "tpu".
    cudnn: Whether "auto" may take cuDNN: `attention_cudnn.serves`.

  Raises:
    ValueError: An unknown name or platform, or a backend that does not run
      there.
  """
  platform = "gpu" if platform == "cuda" else platform
  if platform not in _ON_PLATFORM:
    raise ValueError(
      f"platform {platform!r} is not one of {', '.join(_ON_PLATFORM)}: set"
      " model.attention='xla' with one of those."
    )
  allowed = _ON_PLATFORM[platform]
  if name == "auto":
    return allowed[0] if cudnn or platform != "gpu" else "xla"
  if name not in BACKENDS:
    raise ValueError(
      f"attention={name!r} is not one of auto, {', '.join(BACKENDS)}."
    )
  if name not in allowed:
    raise ValueError(
      f"attention={name!r} does not run on {platform}: set model.attention to"
      f" {' or '.join(map(repr, allowed))}, or 'auto'."
    )
  return name


def attend(
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  *,
  segment_ids: jax.Array,
  branch_ids: jax.Array | None = None,
  window: int | None = None,
  backend: str = "xla",
) -> jax.Array:
  """Self-attention of packed rows: causal, and never across segments.

  A segment may hold branches: a prefix (branch 0), then continuations of it
  (1, 2, ...) that see the prefix and themselves, and not each other.

  Args:
    query: [B, T, N, H].
    key: [B, T, K, H]; query head n reads KV head n // (N / K).
    value: [B, T, K, H].
    segment_ids: [B, T] int32; equal ids attend to each other. 0 is padding,
      which only sees padding.
    branch_ids: [B, T] int32 within each segment; None is one branch.
    window: Keys each query sees at most, its own included; None is all.
    backend: A name in `BACKENDS`.

  Returns:
    [B, T, N, H] in `query`'s dtype.

  Raises:
    ValueError: Unknown backend, or what the backend does not do; branches and
      a window: a window counts places in the row, and branches lie behind one
      another there.
  """
  if backend not in BACKENDS:
    raise ValueError(
      f"attention={backend!r} is not one of {', '.join(BACKENDS)}."
    )
  if branch_ids is not None and window is not None:
    raise ValueError(
      f"a model with sliding_window={window} cannot share a prompt between"
      " answers: set data.share_prompt=False."
    )
  return BACKENDS[backend](query, key, value, segment_ids, branch_ids, window)


def attend_cache(
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  *,
  slots: jax.Array,
  window: int | None = None,
) -> jax.Array:
  """Attention over a cache in which slot s holds position s of its row.

  Args:
    query: [B, T, N, H].
    key: [B, K, H, S], slots not yet written hold anything finite.
    value: [B, K, S, H].
    slots: [B, T] int32, each query's own slot; it sees slots up to that one.
    window: As for `attend`.

  Returns:
    [B, T, N, H] in `query`'s dtype.
  """
  distance = slots[:, :, None] - jnp.arange(value.shape[2])[None, None, :]
  mask = in_reach(distance, window)
  return masked_attention(query, key, value, mask)
