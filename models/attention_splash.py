# SPDX-License-Identifier: Apache-2.0
"""Attention on TPU: JAX's splash kernel, whose scores never leave the chip.

The kernel is causal (or a window), grouped (keys and values are not repeated)
and takes segment ids. It has no branches, but they decompose: every token sees
its own branch, causally; and a token of a branch sees the prefix of its
segment, besides. Two calls with other segment ids, merged by their
log-sum-exps. The backward pass of a flash kernel takes the output and the
log-sum-exp of the whole softmax as given and is linear in the keys, so two
calls of it with the merged ones add up to the gradient.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_kernel as splash,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
  splash_attention_mask as masks,
)
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.models import attention_shards, remat, sharding
from ramjax.models.attention_shards import Ids

# The kernel's tiles are rows of 128 lanes.
_LANES = 128
# Tokens of a block of queries and of keys: 512 fits the vector memory of every
# TPU compiled for, at head dims of 64 and 128, and 2048 not that of a v5p.
_MAX_BLOCK = 512
# Of tokens that are there to fill the last block: no token has these ids.
_PADDING = -1
_NO_QUERY, _NO_KEY = -2, -3
# A pair of ids in one int32: up to 32,767 segments of 65,535 branches a row.
_BRANCHES = 2**16


def splash_attention(
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  segment_ids: jax.Array,
  branch_ids: jax.Array | None,
  window: int | None,
  *,
  interpret: bool = False,
) -> jax.Array:
  """See `attention.attend`.

  Args:
    query: [B, T, N, H].
    key: [B, T, K, H].
    value: [B, T, K, H].
    segment_ids: [B, T].
    branch_ids: [B, T] or None.
    window: Or None.
    interpret: Whether to compute the kernel by XLA, on any platform: slow, for
      tests.
  """
  length, num_heads, head_dim = query.shape[1:]
  ways = sharding.mesh_ways(("sequence",))
  padding = -length % (_LANES * ways)

  def padded(x, fill=0):
    widths = ((0, 0), (0, padding), *[(0, 0)] * (x.ndim - 2))
    return jnp.pad(x, widths, constant_values=fill)

  ids = Ids(segment_ids, branch_ids)
  kernel = _kernel(
    length + padding,
    num_heads // sharding.mesh_ways(("tensor",)),
    window,
    interpret,
  )
  output = attention_shards.per_device(
    _local,
    padded(query * head_dim**-0.5),
    padded(key),
    padded(value),
    jax.tree.map(functools.partial(padded, fill=_PADDING), ids),
    extra=kernel,
    extra_specs=_kernel_specs(kernel),
  )
  return output[:, :length]


def _local(query, key, value, own, seen, first, kernel):
  """Attention of one device: [b, t, n, h] queries over [b, T, k, h] keys."""
  del first  # The kernel's part of the mask knows.
  heads_first = [x.transpose(0, 2, 1, 3) for x in (query, key, value)]
  if own.branches is None:
    ids = splash.SegmentIds(own.segments, seen.segments)
    output = jax.vmap(kernel)(*heads_first, ids)
  else:
    output = _branched(kernel, *heads_first, branch_passes(own, seen))
  return output.transpose(0, 2, 1, 3)


def _kernel(length, num_heads, window, interpret):
  """The kernel of rows of `length` tokens, a multiple of 128 on each device."""
  ways = sharding.mesh_ways(("sequence",))
  shape = (length, length)
  if window is None:
    mask: Any = masks.CausalMask(shape, shard_count=ways)
  else:
    mask = masks.LocalMask(shape, (window - 1, 0), offset=0, shard_count=ways)
  block = block_size(length // ways)
  return splash.make_splash_mha(
    masks.MultiHeadMask([mask] * num_heads),
    block_sizes=splash.BlockSizes(
      block_q=block,
      block_kv=block,
      block_q_dkv=block,
      block_kv_dkv=block,
      block_q_dq=block,
      block_kv_dq=block,
    ),
    head_shards=1,
    q_seq_shards=ways,
    residual_checkpoint_name=remat.CONTEXT,
    interpret=interpret,
  )


def block_size(length: int) -> int:
  """Tokens of a block: the largest multiple of 128 that divides `length`.

  At most 512.
  """
  return next(
    block for block in range(_MAX_BLOCK, 0, -_LANES) if length % block == 0
  )


def _kernel_specs(kernel):
  """How a kernel's mask is split: over `sequence`, as its queries are."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return ()
  spec = PartitionSpec(None, "sequence")
  return kernel.manual_sharding_spec(NamedSharding(mesh, spec))


def branch_passes(own: Ids, seen: Ids) -> tuple[splash.SegmentIds, ...]:
  """Segment ids of the two calls: own branch, and prefix of one's segment."""
  assert own.branches is not None and seen.branches is not None

  def pairs(ids):
    there = ids.segments * _BRANCHES + ids.branches
    return jnp.where(ids.segments == _PADDING, _PADDING, there)

  return (
    splash.SegmentIds(pairs(own), pairs(seen)),
    splash.SegmentIds(
      jnp.where(own.branches > 0, own.segments, _NO_QUERY),
      jnp.where(seen.branches == 0, seen.segments, _NO_KEY),
    ),
  )


def _forward(kernel, query, key, value, ids):
  """One call: outputs in float32, and log-sum-exps [B, N, T]."""
  options = dict(save_residuals=True, residual_checkpoint_name=None)
  forward = splash.SplashAttentionKernel(
    kernel.fwd_mask_info, None, None, **{**kernel.kwargs, **options}
  )
  output, (log_sum,) = jax.vmap(forward)(query, key, value, ids)
  return output.astype(jnp.float32), log_sum


@jax.custom_vjp
def _branched(kernel, query, key, value, passes):
  return _branched_forward(kernel, query, key, value, passes)[0]


def _branched_forward(kernel, query, key, value, passes):
  """The two calls, merged: outputs by their shares of the softmax's sum.

  A query without a key in a call has a log-sum-exp of -2e38 there, and so a
  share of exactly 0.
  """
  (own, own_sum), (prefix, prefix_sum) = (
    _forward(kernel, query, key, value, ids) for ids in passes
  )
  total = jnp.logaddexp(own_sum, prefix_sum)
  merged = own * jnp.exp(own_sum - total)[..., None]
  merged += prefix * jnp.exp(prefix_sum - total)[..., None]
  output = checkpoint_name(merged.astype(query.dtype), remat.CONTEXT)
  total = checkpoint_name(total, remat.CONTEXT)
  return output, (kernel, query, key, value, passes, output, total)


def _branched_backward(residuals, cotangent):
  kernel, query, key, value, passes, output, total = residuals
  found = [
    jax.vmap(functools.partial(_kernel_backward, kernel))(
      query, key, value, ids, output, total, cotangent
    )
    for ids in passes
  ]
  grads = [
    (own.astype(jnp.float32) + prefix.astype(jnp.float32)).astype(own.dtype)
    for own, prefix in zip(*found, strict=True)
  ]
  return None, *grads, None


_branched.defvjp(_branched_forward, _branched_backward)


def _kernel_backward(
  kernel, query, key, value, ids, output, log_sum, cotangent
):
  """The kernel's own backward pass, at a given output and log-sum-exp.

  JAX does not export it; the tests of branches hold it.
  """
  residuals = (
    query,
    key,
    value,
    ids,
    None,  # No attention sinks.
    output,
    log_sum,
    kernel.dq_mask_info,
    kernel.dkv_mask_info,
  )
  grads = splash._splash_attention_bwd(
    **{**kernel.kwargs, "save_residuals": False}, res=residuals, do=cotangent
  )
  return grads[3:6]
