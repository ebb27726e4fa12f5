# SPDX-License-Identifier: Apache-2.0
"""How far a token's logit is above a contrast candidate's, for Cringe losses.

Like `token_logps`, only supervised tokens reach the vocabulary, a chunk at a
time. Two logits of each token carry a gradient, so the backward pass makes no
logits at all, and needs no more of the head's matrix than a device holds.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses import supervised_chunks, vocabulary_blocks
from ramjax.losses.shapes import shape_checked
from ramjax.losses.vocabulary_blocks import WHOLE, Axes


class _Top(NamedTuple):
  """Tokens with the largest logits, in descending order; equals by number."""

  logits: jax.Array  # [N, K] float32, -inf past the last
  tokens: jax.Array  # [N, K] int32


@shape_checked
def token_gaps(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D//{axes.width_ways} V"],
  targets: Int[Array, " N"],
  mask: Bool[Array, " N"],
  noise: Float[Array, "N K"],
  stop_candidate_gradient: bool,
  chunk_size: int = 1024,
  axes: Axes = WHOLE,
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
    chunk_size: Tokens whose logits exist at a time, at least 1.
    axes: Inside `jax.shard_map` (with `check_vma=False`), how the kernel is
      split; the tokens are this device's.

  Returns:
    [N] float32, 0 where the mask is False; gradients flow to `hidden` and
    `kernel`.

  Raises:
    ValueError: `chunk_size` below 1, or K is not in [1, V - 1].
  """
  num_candidates = noise.shape[1]
  vocabulary = kernel.shape[1] * axes.vocab_ways
  if not 1 <= num_candidates < vocabulary:
    raise ValueError(
      f"noise is for K={num_candidates} candidates, which must be in"
      f" [1, {vocabulary - 1}]: the {vocabulary} tokens of the vocabulary but"
      " the target. Pass noise of another width."
    )
  gaps: Any = _chunked(
    chunk_size,
    stop_candidate_gradient,
    axes,
    hidden,
    kernel,
    targets,
    noise,
    mask,
  )
  return gaps


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _chunked(
  chunk_size: int,
  stop_candidate_gradient: bool,
  axes: Axes,
  hidden: jax.Array,
  kernel: jax.Array,
  targets: jax.Array,
  noise: jax.Array,
  mask: jax.Array,
) -> Any:
  """Gaps, [N] float32; 0 where not supervised."""
  del stop_candidate_gradient  # Only the backward pass asks.
  gaps, _ = _gaps_and_candidates(
    chunk_size, axes, hidden, kernel, targets, noise, mask
  )
  return gaps


def _gaps_and_candidates(
  chunk_size, axes, hidden, kernel, targets, noise, mask
):
  """Gaps and the candidates' token numbers, both [N]."""
  order = supervised_chunks.supervised_first(mask)
  blocks = vocabulary_blocks.cut(hidden.shape[1], kernel.shape[1], axes)
  ordered = order.take(hidden), order.take(targets)
  columns = jnp.arange(blocks.size)[None, :]

  def of_block(block, found):
    tokens = block.first_token + columns

    def of_chunk(chunk, found):
      x, target, target_logit, *known = (
        chunk.take(values) for values in (*ordered, *found)
      )
      logits = blocks.logits(x, block)
      column = blocks.column_of(target, block)[:, None]
      own = jnp.take_along_axis(logits, jnp.maximum(column, 0), axis=1)
      target_logit = jnp.where(column >= 0, own, target_logit[:, None])[:, 0]
      others = _Top(jnp.where(columns == column, -jnp.inf, logits), tokens)
      top = _largest(others, noise.shape[1])
      if blocks.count > 1:
        top = _largest(_beside(_Top(*known), top), noise.shape[1])
      return tuple(map(chunk.put, found, (target_logit, *top)))

    return supervised_chunks.for_each(order, chunk_size, of_chunk, found)

  nothing = (
    jnp.zeros(mask.shape, jnp.float32),
    jnp.full(noise.shape, -jnp.inf, jnp.float32),
    jnp.zeros(noise.shape, jnp.int32),
  )
  target_logits, *top = blocks.for_each(kernel, hidden.dtype, of_block, nothing)
  target_logits = axes.sum_vocab(target_logits)
  top = _Top(*top)
  if axes.vocab:
    parts = _Top(*(axes.each_vocab(values) for values in top))
    top = _largest(parts, noise.shape[1])
  # A token without supervision has none to draw from.
  drawn = jnp.argmax(top.logits + order.take(noise), axis=1)[:, None]
  logits, candidates = (
    jnp.take_along_axis(values, drawn, axis=1)[:, 0] for values in top
  )
  return order.put_back(target_logits - logits), order.put_back(candidates)


def _largest(among: _Top, count: int) -> _Top:
  """The first `count` of [T, C] logits, in a `_Top`'s order.

  Goes through them from the largest down, one pass over the logits for each.

  Args:
    among: In any order; tokens may be [1, C].
    count: K.
  """

  def step(last, _):
    last_logit, last_token = last
    # What comes after the last one, equal logits in the order of tokens.
    is_equal = among.logits == last_logit[:, None]
    is_next = (among.logits < last_logit[:, None]) | (
      is_equal & (among.tokens > last_token[:, None])
    )
    left = jnp.where(is_next, among.logits, -jnp.inf)
    place = jnp.argmax(left, axis=1)[:, None]
    tokens = jnp.broadcast_to(among.tokens, left.shape)
    found = (
      jnp.max(left, axis=1),
      jnp.take_along_axis(tokens, place, axis=1)[:, 0],
    )
    return found, found

  shape = among.logits.shape[:1]
  initial = (
    jnp.full(shape, jnp.inf, jnp.float32),
    jnp.full(shape, -1, jnp.int32),
  )
  _, (logits, tokens) = jax.lax.scan(step, initial, length=count)
  return _Top(logits.T, tokens.T)


def _beside(one: _Top, other: _Top) -> _Top:
  """Both, in a row."""
  return _Top(
    *(jnp.concatenate(x, axis=1) for x in zip(one, other, strict=True))
  )


def _chunked_forward(
  chunk_size,
  stop_candidate_gradient,
  axes,
  hidden,
  kernel,
  targets,
  noise,
  mask,
):
  del stop_candidate_gradient
  gaps, candidates = _gaps_and_candidates(
    chunk_size, axes, hidden, kernel, targets, noise, mask
  )
  return gaps, (hidden, kernel, targets, candidates, mask)


def _chunked_backward(
  chunk_size, stop_candidate_gradient, axes, residuals, gap_grad
):
  """Looks two columns of each token up, instead of multiplying by one-hots.

  The one-hot [T, V] gradient of the logits would cost the two matmuls of a
  whole softmax's backward pass, 4 T D V operations, where O(T D) do.

  Where devices share the matrix's rows, every one of them finds its rows of
  the columns that all their tokens ask for. For that the tokens' hidden states
  change hands, from all D of some tokens to some of D of all tokens, [N, D]
  numbers either way; and the gradient of a device's rows is whole at once. The
  matrix and its gradient, V wide, stay where they are.
  """
  del chunk_size
  hidden, kernel, targets, candidates, mask = residuals
  # Each device of `vocab` has a share of it.
  gap_grad = axes.sum_vocab(gap_grad)
  # Selected, not multiplied: an unsupervised row may hold a NaN.
  to_gap = axes.all_rows(jnp.where(mask, gap_grad, 0.0))[:, None]
  x = axes.tokens_to_rows(jnp.where(mask[:, None], hidden, 0))
  tokens, signs = targets[None], jnp.ones((1, 1, 1))
  if not stop_candidate_gradient:
    tokens = jnp.stack([targets, candidates])
    signs = jnp.array([1.0, -1.0]).reshape(2, 1, 1)
  tokens = axes.all_rows(tokens.T).T - axes.vocab_index * kernel.shape[1]
  # The columns that this device holds; the others add nothing.
  signs = (
    jnp.where((tokens >= 0) & (tokens < kernel.shape[1]), 1.0, 0.0)[:, :, None]
    * signs
  )
  # Rounded as the forward pass rounds the kernel, after the lookup: a rounded
  # copy of the whole kernel would cost more than the columns do.
  columns = kernel.T.at[tokens].get(mode="clip")
  columns = columns.astype(hidden.dtype).astype(jnp.float32)
  hidden_grad = (to_gap * jnp.sum(signs * columns, axis=0)).astype(hidden.dtype)
  to_columns = signs * (to_gap * x.astype(jnp.float32))[None, :, :]
  kernel_grad = jnp.zeros(kernel.shape[::-1], jnp.float32)
  kernel_grad = kernel_grad.at[tokens].add(to_columns, mode="clip").T
  return (
    axes.rows_to_tokens(hidden_grad),
    kernel_grad.astype(kernel.dtype),
    None,
    None,
    None,
  )


_chunked.defvjp(_chunked_forward, _chunked_backward)
