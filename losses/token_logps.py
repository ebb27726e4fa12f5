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
  chunk_size: int = 1024,
  num_shards: int = 1,
) -> TokenLogps:
  r"""Log-probability of each supervised target under a linear LM head.

  With logits :math:`z = h W`, the log-probability of target y is
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
    chunk_size: Tokens of one shard whose logits exist at a time, at least 1.
    num_shards: Number of equal, contiguous parts of N that lie on different
      devices. Supervised tokens are gathered within a part, never across.

  Returns:
    `TokenLogps` of [N] arrays; gradients flow from both to `hidden` and
    `kernel`.

  Raises:
    ValueError: `chunk_size` below 1, or `num_shards` does not divide N.
  """
  num_tokens, width = hidden.shape
  if chunk_size < 1:
    raise ValueError(f"chunk_size={chunk_size} must be at least 1.")
  if num_shards < 1 or num_tokens % num_shards:
    raise ValueError(
      f"num_shards={num_shards} must divide the {num_tokens} tokens."
    )
  per_shard = num_tokens // num_shards
  rows = _supervised_first(mask.reshape(num_shards, per_shard))
  results: Any = _chunked(
    min(chunk_size, per_shard),
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


class _Rows(NamedTuple):
  """Where the supervised tokens of each shard are."""

  order: jax.Array  # [shards, per_shard] int32, supervised tokens first
  count: jax.Array  # [shards] int32, how many those are


def _supervised_first(mask: jax.Array) -> _Rows:
  order = jnp.argsort(~mask, axis=1, stable=True).astype(jnp.int32)
  return _Rows(order, jnp.sum(mask, axis=1, dtype=jnp.int32))


def _num_chunks(rows: _Rows, chunk_size: int) -> jax.Array:
  return (jnp.max(rows.count) + chunk_size - 1) // chunk_size


def _chunk(index, chunk_size, hidden, kernel, targets, rows):
  """One chunk: its places, hidden rows, targets and float32 logits."""
  slots = index * chunk_size + jnp.arange(chunk_size)
  valid = slots[None, :] < rows.count[:, None]
  # Past the end a place repeats the last token; `valid` keeps it from counting,
  # and whatever that row holds (0 * NaN is NaN) out of the kernel's gradient.
  slots = jnp.minimum(slots, rows.order.shape[1] - 1)
  places = rows.order[:, slots]
  x = jnp.take_along_axis(hidden, places[:, :, None], axis=1)
  x = jnp.where(valid[:, :, None], x, 0)
  chosen = jnp.take_along_axis(targets, places, axis=1)
  flat = x.reshape(-1, x.shape[-1])
  logits = jnp.matmul(flat, kernel, preferred_element_type=jnp.float32)
  return places, valid, flat, chosen.reshape(-1), logits


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chunked(
  chunk_size: int,
  hidden: jax.Array,
  kernel: jax.Array,
  targets: jax.Array,
  rows: _Rows,
) -> Any:
  """Target log-probabilities and log-normalizers, each [shards, per_shard]."""
  kernel = kernel.astype(hidden.dtype)
  shard = jnp.arange(hidden.shape[0])[:, None]

  def body(index, results):
    logps, normalizers = results
    places, valid, _, chosen, logits = _chunk(
      index, chunk_size, hidden, kernel, targets, rows
    )
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
    0, _num_chunks(rows, chunk_size), body, (zeros, zeros)
  )


def _chunked_forward(chunk_size, hidden, kernel, targets, rows):
  results: Any = _chunked(chunk_size, hidden, kernel, targets, rows)
  return results, (hidden, kernel, targets, rows, results[1])


def _chunked_backward(chunk_size, residuals, cotangents):
  hidden, kernel, targets, rows, normalizers = residuals
  logp_grad, normalizer_grad = cotangents
  kernel_cast = kernel.astype(hidden.dtype)
  shard = jnp.arange(hidden.shape[0])[:, None]
  vocabulary = jnp.arange(kernel.shape[1])[None, :]

  def gather(values, places, valid):
    picked = jnp.take_along_axis(values, places, axis=1)
    return jnp.where(valid, picked, 0.0).reshape(-1, 1)

  def body(index, grads):
    hidden_grad, kernel_grad = grads
    places, valid, flat, chosen, logits = _chunk(
      index, chunk_size, hidden, kernel_cast, targets, rows
    )
    probs = jnp.exp(logits - gather(normalizers, places, True))
    to_target = gather(logp_grad, places, valid)
    to_normalizer = gather(normalizer_grad, places, valid)
    logits_grad = (to_normalizer - to_target) * probs + jnp.where(
      vocabulary == chosen[:, None], to_target, 0.0
    )
    logits_grad = logits_grad.astype(hidden.dtype)
    flat_grad = jnp.matmul(
      logits_grad, kernel_cast.T, preferred_element_type=jnp.float32
    ).reshape(*places.shape, -1)
    kernel_grad += jnp.matmul(
      flat.T, logits_grad, preferred_element_type=jnp.float32
    )
    return hidden_grad.at[shard, places].add(flat_grad), kernel_grad

  hidden_grad, kernel_grad = jax.lax.fori_loop(
    0,
    _num_chunks(rows, chunk_size),
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
    log_normalizers: [N] as `token_logps` returned.

  Returns:
    [N] float32, in nats; meaningful where the mask of `token_logps` was True.
  """
  # Rounded as `token_logps` rounds it, so that both come from one matrix.
  kernel = kernel.astype(hidden.dtype)
  mean_column = jnp.mean(kernel.astype(jnp.float32), axis=1)
  return hidden.astype(jnp.float32) @ mean_column - log_normalizers
