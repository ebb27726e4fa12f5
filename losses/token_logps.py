# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of target tokens, without ever holding all the logits.

Only supervised tokens reach the vocabulary, a chunk at a time: 8 x 4,096
tokens of a 128k vocabulary would be 17 GB of float32 logits, and often half of
the tokens are prompt. The gradient is written out, so that the backward pass
recomputes a chunk's logits instead of storing them. Where devices share the
head's matrix, they exchange it a block of the vocabulary at a time
(`vocabulary_blocks`), and not with each chunk.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses import supervised_chunks, vocabulary_blocks
from ramjax.losses.shapes import shape_checked
from ramjax.losses.vocabulary_blocks import WHOLE, Axes


class TokenLogps(NamedTuple):
  """Per-token results of `token_logps`; every field is [N] float32.

  Attributes:
    logps: log p(target), in nats; 0 where the mask is False.
    log_normalizers: log of the sum of exp(logits); 0 where the mask is False.
  """

  logps: Float[Array, " N"]
  log_normalizers: Float[Array, " N"]


@shape_checked
def token_logps(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D//{axes.width_ways} V"],
  targets: Int[Array, " N"],
  mask: Bool[Array, " N"],
  temperature: float = 1.0,
  chunk_size: int = 1024,
  axes: Axes = WHOLE,
) -> TokenLogps:
  r"""Log-probability of each supervised target under a linear LM head.

  With logits :math:`z = h W / \tau`, the log-probability of target y is
  :math:`z_y - \log \sum_v e^{z_v}`. Its gradient with respect to the logits,
  :math:`e_y - \mathrm{softmax}(z)`, is applied chunk by chunk.

  Cost: work is done for ceil(supervised / chunk_size) chunks, a number known
  at run time; shapes stay static. Memory: one chunk of logits,
  `chunk_size * V` float32, or of one block of V where the kernel is split.

  Args:
    hidden: [N, D] final hidden states; N counts batch times time. The matmuls
      run in this dtype and accumulate in float32.
    kernel: [D, V] of the LM head, any float dtype.
    targets: [N] the token that position is asked to predict.
    mask: [N] True where the token is supervised.
    temperature: :math:`\tau`, above 0, of the float32 logits.
    chunk_size: Tokens whose logits exist at a time, at least 1.
    axes: Inside `jax.shard_map` (with `check_vma=False`), how the kernel is
      split; the tokens are this device's.

  Returns:
    `TokenLogps` of [N] arrays; gradients flow from both to `hidden` and
    `kernel`.

  Raises:
    ValueError: `chunk_size` below 1, or `temperature` is not above 0.
  """
  if not temperature > 0:
    raise ValueError(f"temperature={temperature} must be above 0.")
  results: Any = _chunked(
    chunk_size, temperature, axes, hidden, kernel, targets, mask
  )
  return TokenLogps(*results)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _chunked(
  chunk_size: int,
  temperature: float,
  axes: Axes,
  hidden: jax.Array,
  kernel: jax.Array,
  targets: jax.Array,
  mask: jax.Array,
) -> Any:
  """Target log-probabilities and log-normalizers, each [N]."""
  order = supervised_chunks.supervised_first(mask)
  blocks = vocabulary_blocks.cut(hidden.shape[1], kernel.shape[1], axes)
  ordered = order.take(hidden), order.take(targets)

  def of_block(block, results):
    def of_chunk(chunk, results):
      x, target, normalizer, target_logit = (
        chunk.take(values) for values in (*ordered, *results)
      )
      logits = blocks.logits(x, block) / temperature
      normalizer = jnp.logaddexp(normalizer, jax.nn.logsumexp(logits, axis=-1))
      column = blocks.column_of(target, block)[:, None]
      found = jnp.take_along_axis(logits, jnp.maximum(column, 0), axis=1)
      target_logit = jnp.where(column >= 0, found, target_logit[:, None])[:, 0]
      own = normalizer, target_logit
      return tuple(map(chunk.put, results, own))

    return supervised_chunks.for_each(order, chunk_size, of_chunk, results)

  zeros = jnp.zeros(mask.shape, jnp.float32)
  normalizers, target_logits = blocks.for_each(
    kernel, hidden.dtype, of_block, (zeros - jnp.inf, zeros)
  )
  # Finite where nothing is supervised, too.
  normalizers = jnp.where(order.supervised, normalizers, 0.0)
  normalizers = axes.log_sum_vocab(normalizers)
  logps = axes.sum_vocab(target_logits) - normalizers
  return order.put_back(logps), order.put_back(normalizers)


def _chunked_forward(
  chunk_size, temperature, axes, hidden, kernel, targets, mask
):
  results: Any = _chunked(
    chunk_size, temperature, axes, hidden, kernel, targets, mask
  )
  return results, (hidden, kernel, targets, mask, results[1])


def _chunked_backward(chunk_size, temperature, axes, residuals, cotangents):
  hidden, kernel, targets, mask, normalizers = residuals
  # Each device of `vocab` has a share of these; `jax.shard_map` sums what they
  # come to.
  logp_grad, normalizer_grad = map(axes.sum_vocab, cotangents)
  order = supervised_chunks.supervised_first(mask)
  blocks = vocabulary_blocks.cut(hidden.shape[1], kernel.shape[1], axes)
  ordered = tuple(
    order.take(values)
    for values in (hidden, targets, normalizers, logp_grad, normalizer_grad)
  )
  columns = jnp.arange(blocks.size)[None, :]

  def of_block(block, grads):
    def of_chunk(chunk, grads):
      hidden_grad, block_grad = grads
      x, target, normalizer, *wanted = (chunk.take(x) for x in ordered)
      to_target, to_normalizer = (
        jnp.where(chunk.valid, grad, 0.0)[:, None] for grad in wanted
      )
      logits = blocks.logits(x, block) / temperature
      probs = jnp.exp(logits - normalizer[:, None])
      logits_grad = (to_normalizer - to_target) * probs + jnp.where(
        columns == blocks.column_of(target, block)[:, None], to_target, 0.0
      )
      logits_grad = (logits_grad / temperature).astype(hidden.dtype)
      own = jnp.matmul(
        logits_grad, block.kernel.T, preferred_element_type=jnp.float32
      )
      hidden_grad = chunk.put(hidden_grad, chunk.take(hidden_grad) + own)
      block_grad += jnp.matmul(
        x.T, logits_grad, preferred_element_type=jnp.float32
      )
      return hidden_grad, block_grad

    hidden_grad, kernel_grad = grads
    block_grad = jnp.zeros(block.kernel.shape, jnp.float32)
    hidden_grad, block_grad = supervised_chunks.for_each(
      order, chunk_size, of_chunk, (hidden_grad, block_grad)
    )
    return hidden_grad, blocks.add_gradient(kernel_grad, block_grad, block)

  hidden_grad, kernel_grad = blocks.for_each(
    kernel,
    hidden.dtype,
    of_block,
    (
      jnp.zeros(hidden.shape, jnp.float32),
      jnp.zeros(kernel.shape, jnp.float32),
    ),
  )
  return (
    order.put_back(hidden_grad.astype(hidden.dtype)),
    kernel_grad.astype(kernel.dtype),
    None,
    None,
  )


_chunked.defvjp(_chunked_forward, _chunked_backward)


@shape_checked
def mean_token_logps(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D//{axes.width_ways} V"],
  log_normalizers: Float[Array, " N"],
  axes: Axes = WHOLE,
) -> Float[Array, " N"]:
  """Mean over the vocabulary of the log-probabilities, as smoothing needs.

  The mean of h W over V is h times the mean column of W, so no logits are
  made.

  Args:
    hidden: [N, D] as given to `token_logps`.
    kernel: [D, V] as given to `token_logps`.
    log_normalizers: [N] as `token_logps` returned at temperature 1.
    axes: As given to `token_logps`.

  Returns:
    [N] float32, in nats; meaningful where the mask of `token_logps` was True.
  """
  # Rounded as `token_logps` rounds it, so that both come from one matrix.
  kernel = kernel.astype(hidden.dtype).astype(jnp.float32)
  mean_column = axes.all_rows(axes.mean_vocab(jnp.mean(kernel, axis=1)))
  return hidden.astype(jnp.float32) @ mean_column - log_normalizers
