# SPDX-License-Identifier: Apache-2.0
"""How far a token's logit is above a contrast candidate's, for Cringe losses.

Like `token_logps`, only supervised tokens reach the vocabulary, a chunk at a
time. Two logits of each token carry a gradient, so the backward pass makes no
logits at all.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses import supervised_chunks
from ramjax.losses.shapes import shape_checked


@shape_checked
def token_gaps(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D V"],
  targets: Int[Array, " N"],
  mask: Bool[Array, " N"],
  noise: Float[Array, "N K"],
  stop_candidate_gradient: bool,
  chunk_size: int = 1024,
  num_shards: int = 1,
) -> Float[Array, " N"]:
  r"""Gap :math:`z_y - z_{s^*}` of each supervised target y, logits z = h W.

  The candidate :math:`s^*` is one of the K tokens with the largest logits
  other than y, drawn from the softmax of those K logits (Cringe loss, Adolphs
  et al., arXiv 2211.05826, section 3). It is drawn by Gumbel-max: the largest
  of logit + noise, so the caller owns the randomness. Only the choice is
  random: the gradient flows through both logits.

  Args:
    hidden: [N, D] final hidden states; N counts batch times time. The matmul
      runs in this dtype and accumulates in float32.
    kernel: [D, V] of the LM head, any float dtype.
    targets: [N] the token that position is asked to predict.
    mask: [N] True where the token is supervised.
    noise: [N, K] independent standard Gumbel noise, of the K candidates in
      descending order of their logits. Zeros, or K = 1, give the largest.
    stop_candidate_gradient: Whether the candidate's logit is a constant.
    chunk_size: Tokens of one shard whose logits exist at a time, at least 1.
    num_shards: Number of equal, contiguous parts of N that lie on different
      devices. Supervised tokens are gathered within a part, never across.

  Returns:
    [N] float32, 0 where the mask is False; gradients flow to `hidden` and
    `kernel`.

  Raises:
    ValueError: `chunk_size` below 1, `num_shards` does not divide N, or K is
      not in [1, V - 1].
  """
  num_tokens, width = hidden.shape
  num_candidates, vocabulary = noise.shape[1], kernel.shape[1]
  per_shard = supervised_chunks.shard_size(
    num_tokens, chunk_size=chunk_size, num_shards=num_shards
  )
  if not 1 <= num_candidates < vocabulary:
    raise ValueError(
      f"noise is for K={num_candidates} candidates, which must be in"
      f" [1, {vocabulary - 1}]: the {vocabulary} tokens of the vocabulary but"
      " the target. Pass noise of another width."
    )
  gaps: Any = _chunked(
    min(chunk_size, per_shard),
    stop_candidate_gradient,
    hidden.reshape(num_shards, per_shard, width),
    kernel,
    targets.reshape(num_shards, per_shard),
    noise.reshape(num_shards, per_shard, num_candidates),
    mask.reshape(num_shards, per_shard),
  )
  return gaps.reshape(-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _chunked(
  chunk_size: int,
  stop_candidate_gradient: bool,
  hidden: jax.Array,
  kernel: jax.Array,
  targets: jax.Array,
  noise: jax.Array,
  mask: jax.Array,
) -> Any:
  """Gaps, [shards, per_shard] float32; 0 where not supervised."""
  del stop_candidate_gradient  # Only the backward pass asks.
  return _gaps_and_candidates(chunk_size, hidden, kernel, targets, noise, mask)[
    0
  ]


def _gaps_and_candidates(chunk_size, hidden, kernel, targets, noise, mask):
  """Gaps and the candidates' token numbers, both [shards, per_shard]."""
  rows = supervised_chunks.supervised_first(mask)
  kernel = kernel.astype(hidden.dtype)
  shard = jnp.arange(hidden.shape[0])[:, None]

  def body(index, results):
    gaps, candidates = results
    places, valid, flat, chosen = supervised_chunks.take_chunk(
      index, chunk_size, hidden, targets, rows
    )
    logits = supervised_chunks.float32_logits(flat, kernel)
    target_logit = jnp.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
    flat_noise = jnp.take_along_axis(noise, places[:, :, None], axis=1)
    candidate_logit, candidate = _draw(
      logits, chosen, flat_noise.reshape(chosen.size, -1)
    )
    gap = target_logit - candidate_logit
    gap = jnp.where(valid, gap.reshape(valid.shape), 0)
    candidate = jnp.where(valid, candidate.reshape(valid.shape), 0)
    return (
      gaps.at[shard, places].add(gap),
      candidates.at[shard, places].add(candidate),
    )

  shape = hidden.shape[:2]
  return jax.lax.fori_loop(
    0,
    supervised_chunks.num_chunks(rows, chunk_size),
    body,
    (jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.int32)),
  )


def _draw(logits, targets, noise):
  """Logit and token, [T] each, of the candidate that the noise elects.

  Goes through the candidates from the largest logit down, one pass over the
  logits for each of K. `jax.lax.top_k` would gather the logits of all devices
  on each of them where batch or vocabulary are split; a maximum does not.
  """
  vocabulary = jnp.arange(logits.shape[1])[None, :]
  is_other = vocabulary != targets[:, None]

  def step(carry, step_noise):
    last_logit, last_token, best_score, best_logit, best_token = carry
    # What comes after the last one, equal logits in the order of tokens.
    is_equal = logits == last_logit[:, None]
    is_next = (logits < last_logit[:, None]) | (
      is_equal & (vocabulary > last_token[:, None])
    )
    left = jnp.where(is_other & is_next, logits, -jnp.inf)
    logit = jnp.max(left, axis=1)
    token = jnp.argmax(left, axis=1).astype(jnp.int32)
    score = logit + step_noise
    is_best = score > best_score
    carry = (
      logit,
      token,
      jnp.where(is_best, score, best_score),
      jnp.where(is_best, logit, best_logit),
      jnp.where(is_best, token, best_token),
    )
    return carry, None

  infinite = jnp.full(targets.shape, jnp.inf, jnp.float32)
  none = jnp.full(targets.shape, -1, jnp.int32)
  initial = (infinite, none, -infinite, -infinite, none)
  (_, _, _, logit, token), _ = jax.lax.scan(step, initial, noise.T)
  return logit, token


def _chunked_forward(
  chunk_size, stop_candidate_gradient, hidden, kernel, targets, noise, mask
):
  del stop_candidate_gradient
  gaps, candidates = _gaps_and_candidates(
    chunk_size, hidden, kernel, targets, noise, mask
  )
  return gaps, (hidden, kernel, targets, candidates, mask)


def _chunked_backward(chunk_size, stop_candidate_gradient, residuals, gap_grad):
  """Looks two columns of each token up, instead of multiplying by one-hots.

  The one-hot [T, V] gradient of the logits would cost the two matmuls of a
  whole softmax's backward pass, 4 T D V operations, where O(T D) do. With the
  vocabulary split over devices a lookup is what each device finds among its
  columns, all-reduced over [T, D], as that matmul's result would be; and the
  scatter-add goes to a device's own columns. There is nothing of width V to
  chunk: in one step, the kernel's gradient is summed over devices once and not
  with each chunk.
  """
  del chunk_size
  hidden, kernel, targets, candidates, mask = residuals
  # Selected, not multiplied: an unsupervised row may hold a NaN.
  to_gap = jnp.where(mask, gap_grad, 0.0).reshape(-1, 1)
  x = jnp.where(mask[:, :, None], hidden, 0).reshape(to_gap.size, -1)
  tokens, signs = targets.reshape(1, -1), jnp.ones((1, 1, 1))
  if not stop_candidate_gradient:
    tokens = jnp.concatenate([tokens, candidates.reshape(1, -1)])
    signs = jnp.array([1.0, -1.0]).reshape(2, 1, 1)
  # Rounded as the forward pass rounds the kernel, after the lookup: a rounded
  # copy of the whole kernel would cost more than the columns do.
  columns = kernel.T[tokens].astype(hidden.dtype).astype(jnp.float32)
  hidden_grad = to_gap * jnp.sum(signs * columns, axis=0)
  to_columns = signs * (to_gap * x.astype(jnp.float32))[None, :, :]
  kernel_grad = jnp.zeros(kernel.shape[::-1], jnp.float32)
  kernel_grad = kernel_grad.at[tokens].add(to_columns).T
  return (
    hidden_grad.reshape(hidden.shape).astype(hidden.dtype),
    kernel_grad.astype(kernel.dtype),
    None,
    None,
    None,
  )


_chunked.defvjp(_chunked_forward, _chunked_backward)
