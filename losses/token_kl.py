# SPDX-License-Identifier: Apache-2.0
"""Divergence of two language models at each supervised token, in chunks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ramjax.losses import supervised_chunks, vocabulary_blocks
from ramjax.losses.shapes import shape_checked
from ramjax.losses.vocabulary_blocks import WHOLE, Axes


class _Sums(NamedTuple):
  """What is known of each token from a part of the vocabulary."""

  normalizers: jax.Array  # [N] log of the sum of exp(logits), of the policy
  ref_normalizers: jax.Array  # [N] the same of the reference
  gaps: jax.Array  # [N] mean of logit - ref logit, under the policy's softmax


@shape_checked
def token_kl(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D//{axes.width_ways} V"],
  ref_hidden: Float[Array, "N E"],
  ref_kernel: Float[Array, "E//{axes.width_ways} V"],
  mask: Bool[Array, " N"],
  chunk_size: int = 1024,
  axes: Axes = WHOLE,
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
    chunk_size: Tokens whose logits exist at a time, at least 1.
    axes: See `token_logps`; both kernels are split so.

  Returns:
    [N] float32 nats, at least 0 up to rounding; 0 where the mask is False.

  Raises:
    ValueError: `chunk_size` below 1.
  """
  order = supervised_chunks.supervised_first(mask)
  wider = max(hidden.shape[1], ref_hidden.shape[1])
  blocks = vocabulary_blocks.cut(wider, kernel.shape[1], axes)
  ordered = order.take(hidden), order.take(ref_hidden)

  def of_block(block, sums):
    ref_block = blocks.block(ref_kernel, ref_hidden.dtype, block.index)

    def of_chunk(chunk, sums):
      x, ref_x, *known = (chunk.take(values) for values in (*ordered, *sums))
      own = _sums(blocks.logits(x, block), blocks.logits(ref_x, ref_block))
      return _Sums(*map(chunk.put, sums, _merged(_Sums(*known), own)))

    return supervised_chunks.for_each(order, chunk_size, of_chunk, sums)

  zeros = jnp.zeros(mask.shape, jnp.float32)
  nothing = _Sums(zeros - jnp.inf, zeros - jnp.inf, zeros)
  sums = blocks.for_each(kernel, hidden.dtype, of_block, nothing)
  sums = _Sums(*(jnp.where(order.supervised, x, 0.0) for x in sums))
  normalizers, ref_normalizers = map(axes.log_sum_vocab, sums[:2])
  share = jnp.exp(sums.normalizers - normalizers)
  gaps = axes.sum_vocab(share * sums.gaps)
  return order.put_back(gaps - normalizers + ref_normalizers)


def _sums(logits: jax.Array, ref_logits: jax.Array) -> _Sums:
  """Of [T, C] logits."""
  # A column that an earlier block had is -inf in both, and its share 0.
  gaps = jnp.where(logits == -jnp.inf, 0.0, logits - ref_logits)
  normalizers = jax.nn.logsumexp(logits, axis=-1)
  probs = jnp.exp(logits - normalizers[:, None])
  return _Sums(
    normalizers,
    jax.nn.logsumexp(ref_logits, axis=-1),
    jnp.sum(probs * gaps, axis=-1),
  )


def _merged(one: _Sums, other: _Sums) -> _Sums:
  """Of two parts of the vocabulary."""
  normalizers = jnp.logaddexp(one.normalizers, other.normalizers)
  return _Sums(
    normalizers,
    jnp.logaddexp(one.ref_normalizers, other.ref_normalizers),
    one.gaps * jnp.exp(one.normalizers - normalizers)
    + other.gaps * jnp.exp(other.normalizers - normalizers),
  )
