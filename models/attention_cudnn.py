# SPDX-License-Identifier: Apache-2.0
"""Attention on GPU: cuDNN's flash kernel, rows packed by lengths and offsets.

JAX's public function gives cuDNN one length a row; an arbitrary mask becomes a
T x T bias there. Packed rows need the layout that JAX keeps to itself, in
`_packed_attention` alone: segments of a row by where they start and how long
they are. It needs a Hopper GPU or later, and bfloat16 or float16.
"""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax._src.cudnn import fused_attention_stablehlo as fused
from jax.ad_checkpoint import checkpoint_name

from ramjax.models import attention_shards, remat, sharding
from ramjax.models.attention_shards import Ids

# Rows are filled up to a multiple: cuDNN refused odd lengths (2731).
_TILE = 128
_MAX_HEAD_DIM = 128
_HOPPER = 9.0


class Packed(NamedTuple):
  """Where the segments of each row lie, M at most; -1 past the last one.

  Attributes:
    lengths: [B, M] int32, tokens of each segment.
    offsets: [B, M + 1] int32, place of each one's first token in its row.
    too_many: [B] bool, the row has more than M: those are in neither.
  """

  lengths: jax.Array
  offsets: jax.Array
  too_many: jax.Array


def serves(
  *, dtype: str, branches: bool, split_rows: bool, capability: str | None
) -> bool:
  """Whether the kernel does what is asked, so that "auto" may take it.

  Args:
    dtype: Of the computation.
    branches: Whether answers stand behind a shared prompt.
    split_rows: Whether a row lies on several devices, over `mesh.sequence`.
    capability: Compute capability of the GPU, such as "9.0"; None where none is
      at hand, which is taken for a Hopper one.
  """
  is_new = capability is None or float(capability) >= _HOPPER
  return is_new and dtype == "bfloat16" and not branches and not split_rows


def cudnn_attention(
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  segment_ids: jax.Array,
  branch_ids: jax.Array | None,
  window: int | None,
) -> jax.Array:
  """See `attention.attend`; a row of more segments than fit becomes NaN.

  Raises:
    ValueError: What cuDNN does not do, with the setting to change.
  """
  if branch_ids is not None:
    raise ValueError(
      "attention='cudnn' has no branches: a prompt is not shared between"
      " answers there. Set data.share_prompt=False, or model.attention='xla'."
    )
  _check(query)
  length = query.shape[1]
  padding = -length % _TILE

  def padded(x, fill=0):
    widths = ((0, 0), (0, padding), *[(0, 0)] * (x.ndim - 2))
    return jnp.pad(x, widths, constant_values=fill)

  def local(query, key, value, own, seen, first, _):
    del seen, first
    packed = packed_segments(own.segments, max_segments(query.shape[1]))
    return _packed_attention(query, key, value, packed, window)

  output = attention_shards.per_device(
    local,
    padded(query),
    padded(key),
    padded(value),
    Ids(padded(segment_ids, -1), None),
  )
  return checkpoint_name(output[:, :length], remat.CONTEXT)


def max_segments(length: int) -> int:
  """Segments that a row has room for: those of `data.packing`, and padding.

  Of which there are two, a row's own and what fills it up here. The kernel's
  float32 statistics grow with it: M N T numbers a row.
  """
  return max(16, length // 32, min(length // 8, 128)) + 2


def packed_segments(segment_ids: jax.Array, most: int) -> Packed:
  """Lengths and offsets of the runs of equal ids in [B, T], padding included.

  Padding is a segment like others: what a kernel leaves out it does not write.
  """
  length = segment_ids.shape[1]
  begins = jnp.concatenate(
    [
      jnp.ones_like(segment_ids[:, :1], bool),
      segment_ids[:, 1:] != segment_ids[:, :-1],
    ],
    axis=1,
  )
  starts = jax.vmap(
    lambda row: jnp.nonzero(row, size=most + 1, fill_value=length)[0]
  )(begins).astype(jnp.int32)
  found = starts < length
  lengths = jnp.where(found[:, :-1], starts[:, 1:] - starts[:, :-1], -1)
  return Packed(lengths, jnp.where(found, starts, -1), found[:, -1])


@contextlib.contextmanager
def ahead_of_time() -> Iterator[None]:
  """Lets programs be lowered for a Hopper GPU on a machine that has none.

  JAX asks the devices at hand what they can do, and how new their cuDNN is.
  """
  names = ("check_compute_capability", "check_cudnn_version")
  kept = {name: getattr(fused, name) for name in names}
  setattr(fused, names[0], lambda capability: float(capability) <= _HOPPER)
  setattr(fused, names[1], lambda: 91_000)
  try:
    yield
  finally:
    for name, function in kept.items():
      setattr(fused, name, function)


def _check(query: jax.Array) -> None:
  """Refuses what the kernel does not do, before it is traced."""
  head_dim = query.shape[-1]
  if query.dtype not in (jnp.bfloat16, jnp.float16):
    raise ValueError(
      f"attention='cudnn' computes in bfloat16 or float16, not {query.dtype}:"
      " set model.dtype='bfloat16', or model.attention='xla'."
    )
  if head_dim % 8 or head_dim > _MAX_HEAD_DIM:
    raise ValueError(
      f"attention='cudnn' needs a head_dim that is a multiple of 8 and at most"
      f" {_MAX_HEAD_DIM}, not {head_dim}: set model.attention='xla'."
    )
  if sharding.mesh_ways(("sequence",)) > 1:
    raise ValueError(
      "attention='cudnn' cannot split a row over devices: set"
      " mesh.sequence=1, or model.attention='xla'."
    )
  if not fused.check_compute_capability(str(_HOPPER)):
    raise ValueError(
      "attention='cudnn' needs a Hopper GPU (compute capability 9.0) or later"
      f" for packed rows, and the devices here are {jax.devices()[0]} and"
      " others like it: set model.attention='xla'."
    )


def _packed_attention(query, key, value, packed, window):
  """Attention of [b, T, n, h] queries by JAX's private packed layout."""
  wanted = {"q_seqlen", "kv_seqlen", "q_offsets", "kv_offsets"}
  if not wanted <= set(
    inspect.signature(fused.dot_product_attention).parameters
  ):
    raise ValueError(
      f"attention='cudnn' does not know the packed layout of JAX"
      f" {jax.__version__} (it was written for 0.10): set"
      " model.attention='xla'."
    )
  # Up to JAX 0.10 the keys' offsets are scaled by the number of query heads,
  # and with fewer KV heads point past their segments (jax-ml/jax #39521).
  group = query.shape[2] // key.shape[2]
  output: Any = fused.dot_product_attention(
    query,
    jnp.repeat(key, group, axis=2),
    jnp.repeat(value, group, axis=2),
    q_seqlen=packed.lengths,
    kv_seqlen=packed.lengths,
    q_offsets=packed.offsets,
    kv_offsets=packed.offsets,
    scale=query.shape[-1] ** -0.5,
    mask_type=fused.MaskType.PADDING_CAUSAL,
    sliding_window_length=window,
  )
  return jnp.where(packed.too_many[:, None, None, None], jnp.nan, output)
