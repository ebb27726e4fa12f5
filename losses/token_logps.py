# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of target tokens, without ever holding all the logits.

Only supervised tokens reach the vocabulary, a chunk at a time: 8 x 4,096
tokens of a 128k vocabulary would be 17 GB of float32 logits, and often half of
the tokens are prompt. The gradient is written out, so that the backward pass
recomputes a chunk's logits instead of storing them.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ramjax.losses import supervised_chunks
from ramjax.losses.shapes import shape_checked


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
  kernel: Float[Array, "D V"],
  targets: Int[Array, " N"],
  mask: Bool[Array, " N"],
  temperature: float = 1.0,
  chunk_size: int = 1024,
  num_shards: int = 1,
) -> TokenLogps:
  r"""Log-probability of each supervised target under a linear LM head.

  With logits :math:`z = h W / \tau`, the log-probability of target y is
  :math:`z_y - \log \sum_v e^{z_v}`. Its gradient with respect to the logits,
  :math:`e_y - \mathrm{softmax}(z)`, is applied chunk by chunk.

  Cost: work is done for ceil(supervised / chunk_size) chunks, a number known
  at run time; shapes stay static. Memory: one chunk of logits,
  `num_shards * chunk_size * V` float32 (spread over the shards).

  Args:
    hidden: [N, D] final hidden states; N counts batch times time. The matmuls
      run in this dtype and accumulate in float32.
    kernel: [D, V] of the LM head, any float dtype.
    targets: [N] the token that position is asked to predict.
    mask: [N] True where the token is supervised.
    temperature: :math:`\tau`, above 0, of the float32 logits.
    chunk_size: Tokens of one shard whose logits exist at a time, at least 1.
    num_shards: Number of equal, contiguous parts of N that lie on different
      devices. Supervised tokens are gathered within a part, never across.

  Returns:
    `TokenLogps` of [N] arrays; gradients flow from both to `hidden` and
    `kernel`.

  Raises:
    ValueError: `chunk_size` below 1, `num_shards` does not divide N, or
      `temperature` is not above 0.
  """
  if not temperature > 0:
    raise ValueError(f"temperature={temperature} must be above 0.")
  num_tokens, width = hidden.shape
  per_shard = supervised_chunks.shard_size(
    num_tokens, chunk_size=chunk_size, num_shards=num_shards
  )
  rows = supervised_chunks.supervised_first(mask.reshape(num_shards, per_shard))
  results: Any = _chunked(
    min(chunk_size, per_shard),
    temperature,
    hidden.reshape(num_shards, per_shard, width),
    kernel,
    targets.reshape(num_shards, per_shard),
    rows,
  )
  logps, normalizers = results
  return TokenLogps(
    logps=jnp.where(mask, logps.reshape(-1), 0.0),
    log_normalizers=jnp.where(mask, normalizers.reshape(-1), 0.0),
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _chunked(
  chunk_size: int,
  temperature: float,
  hidden: jax.Array,
  kernel: jax.Array,
  targets: jax.Array,
  rows: supervised_chunks.Rows,
) -> Any:
  """Target log-probabilities and log-normalizers, each [shards, per_shard]."""
  kernel = kernel.astype(hidden.dtype)
  shard = jnp.arange(hidden.shape[0])[:, None]

  def body(index, results):
    logps, normalizers = results
    places, valid, flat, chosen = supervised_chunks.take_chunk(
      index, chunk_size, hidden, targets, rows
    )
    logits = supervised_chunks.float32_logits(flat, kernel) / temperature
    normalizer = jax.nn.logsumexp(logits, axis=-1)
    target_logit = jnp.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
    logp = jnp.where(valid, (target_logit - normalizer).reshape(valid.shape), 0)
    normalizer = jnp.where(valid, normalizer.reshape(valid.shape), 0)
    return (
      logps.at[shard, places].add(logp),
      normalizers.at[shard, places].add(normalizer),
    )

  zeros = jnp.zeros(hidden.shape[:2], jnp.float32)
  return jax.lax.fori_loop(
    0, supervised_chunks.num_chunks(rows, chunk_size), body, (zeros, zeros)
  )


def _chunked_forward(chunk_size, temperature, hidden, kernel, targets, rows):
  results: Any = _chunked(
    chunk_size, temperature, hidden, kernel, targets, rows
  )
  return results, (hidden, kernel, targets, rows, results[1])


def _chunked_backward(chunk_size, temperature, residuals, cotangents):
  hidden, kernel, targets, rows, normalizers = residuals
  logp_grad, normalizer_grad = cotangents
  kernel_cast = kernel.astype(hidden.dtype)
  shard = jnp.arange(hidden.shape[0])[:, None]
  vocabulary = jnp.arange(kernel.shape[1])[None, :]

  def body(index, grads):
    hidden_grad, kernel_grad = grads
    chunk = supervised_chunks.take_chunk(
      index, chunk_size, hidden, targets, rows
    )
    logits = supervised_chunks.float32_logits(chunk.hidden, kernel_cast)
    logits /= temperature

    def per_token(values):
      return supervised_chunks.take_places(values, chunk)[:, None]

    probs = jnp.exp(logits - per_token(normalizers))
    to_target = per_token(logp_grad)
    to_normalizer = per_token(normalizer_grad)
    logits_grad = (to_normalizer - to_target) * probs + jnp.where(
      vocabulary == chunk.targets[:, None], to_target, 0.0
    )
    logits_grad = (logits_grad / temperature).astype(hidden.dtype)
    flat_grad = jnp.matmul(
      logits_grad, kernel_cast.T, preferred_element_type=jnp.float32
    ).reshape(*chunk.places.shape, -1)
    kernel_grad += jnp.matmul(
      chunk.hidden.T, logits_grad, preferred_element_type=jnp.float32
    )
    return hidden_grad.at[shard, chunk.places].add(flat_grad), kernel_grad

  hidden_grad, kernel_grad = jax.lax.fori_loop(
    0,
    supervised_chunks.num_chunks(rows, chunk_size),
    body,
    (
      jnp.zeros(hidden.shape, jnp.float32),
      jnp.zeros(kernel.shape, jnp.float32),
    ),
  )
  return (
    hidden_grad.astype(hidden.dtype),
    kernel_grad.astype(kernel.dtype),
    None,
    None,
  )


_chunked.defvjp(_chunked_forward, _chunked_backward)


@shape_checked
def mean_token_logps(
  *,
  hidden: Float[Array, "N D"],
  kernel: Float[Array, "D V"],
  log_normalizers: Float[Array, " N"],
) -> Float[Array, " N"]:
  """Mean over the vocabulary of the log-probabilities, as smoothing needs.

  The mean of h W over V is h times the mean column of W, so no logits are
  made.

  Args:
    hidden: [N, D] as given to `token_logps`.
    kernel: [D, V] as given to `token_logps`.
    log_normalizers: [N] as `token_logps` returned at temperature 1.

  Returns:
    [N] float32, in nats; meaningful where the mask of `token_logps` was True.
  """
  # Rounded as `token_logps` rounds it, so that both come from one matrix.
  kernel = kernel.astype(hidden.dtype)
  mean_column = jnp.mean(kernel.astype(jnp.float32), axis=1)
  return hidden.astype(jnp.float32) @ mean_column - log_normalizers
