# SPDX-License-Identifier: Apache-2.0
"""From next-token logits to a token: penalties, temperature, filters, a draw.

Every row has its own options and its own random number, so what a row draws
does not depend on its neighbours.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_LARGEST = 2**31 - 1  # Of int32.
# Tokens of a block of the vocabulary: about the root of its size.
_BLOCK = 256


class Controls(NamedTuple):
  """Options of each row; see `SamplingOptions`.

  Attributes:
    temperature: [S] float32.
    top_k: [S] int32; 0 keeps all.
    top_p: [S] float32.
    min_p: [S] float32.
    repetition_penalty: [S] float32.
  """

  temperature: jax.Array
  top_k: jax.Array
  top_p: jax.Array
  min_p: jax.Array
  repetition_penalty: jax.Array


class Drawn(NamedTuple):
  """One token of each row.

  Attributes:
    tokens: [S] int32.
    logps: [S] float32, log-probability under the model as it is: temperature 1,
      no penalty, bias or filter.
    drawn_logps: [S] float32, log-probability under the distribution that was
      drawn from; 0 where the most likely token was taken.
  """

  tokens: jax.Array
  logps: jax.Array
  drawn_logps: jax.Array


def draw(
  logits: jax.Array,
  controls: Controls,
  uniforms: jax.Array,
  *,
  seen: jax.Array | None = None,
  bias: jax.Array | None = None,
  filtered: bool = True,
) -> Drawn:
  """Draws one token of each row.

  The order is Hugging Face's: bias, penalty, temperature, top-k, top-p, min-p.

  Args:
    logits: [S, V] float32, of the model.
    controls: Of each row.
    uniforms: [S] float32 in [0, 1): the random number of each row.
    seen: [S, V] bool, tokens a penalty applies to; None where no row has one.
    bias: [S, V] float32 added to the logits; None is none.
    filtered: Whether any row has a filter: they need a search.

  Returns:
    `Drawn`.
  """
  changed = logits if bias is None else logits + bias
  if seen is not None:
    penalty = controls.repetition_penalty[:, None]
    penalised = jnp.where(changed > 0, changed / penalty, changed * penalty)
    changed = jnp.where(seen, penalised, changed)
  greedy = controls.temperature == 0
  # The largest becomes 0, so that no temperature makes any of them infinite.
  scaled = changed - jnp.max(changed, axis=-1, keepdims=True)
  scaled /= jnp.where(greedy, 1.0, controls.temperature)[:, None]
  if filtered:
    scaled = _filter(scaled, controls)
  likeliest = jnp.argmax(changed, axis=-1).astype(jnp.int32)
  tokens = jnp.where(greedy, likeliest, _invert_cdf(scaled, uniforms))
  return Drawn(
    tokens=tokens,
    logps=logps_of(logits, tokens),
    drawn_logps=jnp.where(greedy, 0.0, logps_of(scaled, tokens)),
  )


def _filter(logits: jax.Array, controls: Controls) -> jax.Array:
  """`logits` [S, V] with what the filters leave out at minus infinity.

  Each filter keeps the tokens from some logit on, ties included. It is found
  by bisection: 32 sums over the vocabulary, where a sort takes 15 times as long
  on a CPU (8,192 tokens).
  """
  keys = _ordered_keys(logits)

  def above(key: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(keys > key, weights, 0), axis=-1, keepdims=True)

  top_k = controls.top_k[:, None]
  wanted = jnp.where(top_k == 0, logits.shape[-1], top_k)
  ones = jnp.ones_like(keys)
  kept = keys >= _least_key(lambda key: above(key, ones) < wanted, top_k)
  probs = jax.nn.softmax(jnp.where(kept, logits, -jnp.inf), axis=-1)
  # A token stays while those that are likelier hold less than top_p.
  top_p = controls.top_p[:, None]
  least = _least_key(lambda key: above(key, probs) < top_p, top_k)
  kept &= (top_p >= 1) | (keys >= least)
  largest = jnp.max(probs, axis=-1, keepdims=True)
  kept &= probs >= controls.min_p[:, None] * largest
  return jnp.where(kept, logits, -jnp.inf)


def _ordered_keys(values: jax.Array) -> jax.Array:
  """int32 that order as float32 `values` do: their bits, where negative turned."""
  bits = jax.lax.bitcast_convert_type(values, jnp.int32)
  return jnp.where(bits < 0, bits ^ _LARGEST, bits)


def _least_key(holds: Callable[[jax.Array], jax.Array], like: jax.Array):
  """The least int32 that `holds`, for each row: it does from some key on.

  Args:
    holds: From keys [S, 1] to bools [S, 1].
    like: [S, 1] int32, for its shape.
  """

  def halve(_: int, ends: tuple[jax.Array, jax.Array]):
    low, high = ends
    middle = (low & high) + ((low ^ high) >> 1)  # Cannot overflow.
    held = holds(middle)
    return jnp.where(held, low, middle + 1), jnp.where(held, middle, high)

  ends = jnp.full_like(like, -_LARGEST - 1), jnp.full_like(like, _LARGEST)
  return jax.lax.fori_loop(0, 32, halve, ends)[0]


def _invert_cdf(logits: jax.Array, uniforms: jax.Array) -> jax.Array:
  """[S] tokens of the softmax of [S, V] logits, one uniform number each.

  One random number a row, where adding Gumbel noise takes one a token: hashing
  128,256 of them for each row would cost more than the rest of the draw. First
  a block of tokens is found and then one in it, as prefix sums over all of them
  take eight times as long as the softmax.
  """
  probs = jax.nn.softmax(logits, axis=-1)
  rows, vocab_size = probs.shape
  padding = -vocab_size % _BLOCK
  blocks = jnp.pad(probs, ((0, 0), (0, padding))).reshape(rows, -1, _BLOCK)
  mass = jnp.sum(blocks, axis=-1)
  # Relative to the sum as rounded, which may differ from 1 in the last digits.
  block, rest = _first_beyond(mass, uniforms * jnp.sum(mass, axis=-1))
  within = jnp.take_along_axis(blocks, block[:, None, None], axis=1)[:, 0]
  token, _ = _first_beyond(within, rest)
  return (block * _BLOCK + token).astype(jnp.int32)


def _first_beyond(
  mass: jax.Array, threshold: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Where the sum of [S, N] `mass` so far first exceeds `threshold` [S].

  Only places that have mass are looked at: prefix sums are rounded each in its
  own way, and may seem to grow where there is none. If rounding leaves none
  beyond the threshold, it is the last place with mass.

  Returns:
    The places [S], and what of the threshold is left in them [S].
  """
  sums = jnp.cumsum(mass, axis=-1)
  possible = mass > 0
  beyond = possible & (sums > threshold[:, None])
  last = mass.shape[-1] - 1 - jnp.argmax(possible[:, ::-1], axis=-1)
  first = jnp.argmax(beyond, axis=-1)
  place = jnp.where(jnp.any(beyond, axis=-1), first, last)
  upto = jnp.take_along_axis(sums, place[:, None], axis=-1)[:, 0]
  of_it = jnp.take_along_axis(mass, place[:, None], axis=-1)[:, 0]
  return place, threshold - (upto - of_it)


def logps_of(logits: jax.Array, tokens: jax.Array) -> jax.Array:
  """[S] log-probabilities of [S] tokens under the softmax of [S, V] logits."""
  chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
  return chosen - jax.nn.logsumexp(logits, axis=-1)
