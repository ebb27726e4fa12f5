# SPDX-License-Identifier: Apache-2.0
"""Divergence of two language models at each supervised token, in chunks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses import supervised_chunks
from ramjax.losses.shapes import shape_checked


@shape_checked
def token_kl(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D V"],
  ref_hidden: Float[Array, "N E"],
  ref_kernel: Float[Array, "E V"],
  mask: Bool[Array, " N"],
  chunk_size: int = 1024,
  num_shards: int = 1,
) -> Float[Array, " N"]:
  r"""Exact divergence of the two next-token distributions, over all tokens.

  .. math:: KL(\pi \| \pi_{ref}) = \sum_v \pi(v)
            [\log \pi(v) - \log \pi_{ref}(v)]

  For measuring: no gradient can be taken through it. Work is done for the
  tokens of the mask only, a chunk at a time, as in `token_logps`.

  Args:
    hidden: [N, D] final hidden states of the policy.
    kernel: [D, V] of its LM head.
    ref_hidden: [N, E] those of the reference, at the same tokens.
    ref_kernel: [E, V] of its LM head.
    mask: [N] True where the token is supervised.
    chunk_size: Tokens of one shard whose logits exist at a time, at least 1.
    num_shards: Equal, contiguous parts of N that lie on different devices.

  Returns:
    [N] float32 nats, at least 0 up to rounding; 0 where the mask is False.

  Raises:
    ValueError: `chunk_size` below 1, or `num_shards` does not divide N.
  """
  per_shard = supervised_chunks.shard_size(
    hidden.shape[0], chunk_size=chunk_size, num_shards=num_shards
  )
  chunk_size = min(chunk_size, per_shard)
  rows = supervised_chunks.supervised_first(mask.reshape(num_shards, per_shard))
  shard = jnp.arange(num_shards)[:, None]
  targets = jnp.zeros((num_shards, per_shard), jnp.int32)

  def logps(index: jax.Array, hidden: jax.Array, kernel: jax.Array):
    chunk = supervised_chunks.take_chunk(
      index,
      chunk_size,
      hidden.reshape(num_shards, per_shard, -1),
      targets,
      rows,
    )
    logits = supervised_chunks.float32_logits(
      chunk.hidden, kernel.astype(hidden.dtype)
    )
    return chunk, jax.nn.log_softmax(logits, axis=-1)

  def body(index: jax.Array, found: jax.Array) -> jax.Array:
    chunk, own = logps(index, hidden, kernel)
    _, ref = logps(index, ref_hidden, ref_kernel)
    kl = jnp.sum(jnp.exp(own) * (own - ref), axis=-1).reshape(chunk.valid.shape)
    return found.at[shard, chunk.places].add(jnp.where(chunk.valid, kl, 0.0))

  found = jax.lax.fori_loop(
    0,
    supervised_chunks.num_chunks(rows, chunk_size),
    body,
    jnp.zeros((num_shards, per_shard), jnp.float32),
  )
  return found.reshape(-1)
