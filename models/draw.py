# SPDX-License-Identifier: Apache-2.0
"""From next-token logits to a token: penalties, temperature, filters, a draw.

Every row has its own options and its own random number, so what a row draws
does not depend on its neighbours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


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

  The order is Hugging Face's: penalty, bias, temperature, top-k, top-p, min-p.

  Args:
    logits: [S, V] float32, of the model.
    controls: Of each row.
    uniforms: [S] float32 in [0, 1): the random number of each row.
    seen: [S, V] bool, tokens a penalty applies to; None where no row has one.
    bias: [S, V] float32 added to the logits; None is none.
    filtered: Whether any row has a filter: they need a sort.

  Returns:
    `Drawn`.
  """
  changed = logits
  if seen is not None:
    penalty = controls.repetition_penalty[:, None]
    penalised = jnp.where(logits > 0, logits / penalty, logits * penalty)
    changed = jnp.where(seen, penalised, logits)
  if bias is not None:
    changed = changed + bias
  greedy = controls.temperature == 0
  scaled = changed / jnp.where(greedy, 1.0, controls.temperature)[:, None]
  if filtered:
    scaled = _filter(scaled, controls)
  likeliest = jnp.argmax(changed, axis=-1).astype(jnp.int32)
  tokens = jnp.where(greedy, likeliest, _invert_cdf(scaled, uniforms))
  return Drawn(
    tokens=tokens,
    logps=_logps_of(logits, tokens),
    drawn_logps=jnp.where(greedy, 0.0, _logps_of(scaled, tokens)),
  )


def _filter(logits: jax.Array, controls: Controls) -> jax.Array:
  """`logits` [S, V] with what the filters leave out at minus infinity.

  Each filter keeps a prefix of the tokens in falling order of probability, so
  the three together keep the shortest. Ties with the last one kept are kept.
  """
  ordered = -jnp.sort(-logits, axis=-1)
  rank = jnp.arange(logits.shape[-1])[None]
  top_k = controls.top_k[:, None]
  within = (top_k == 0) | (rank < top_k)
  probs = jax.nn.softmax(jnp.where(within, ordered, -jnp.inf), axis=-1)
  before = jnp.cumsum(probs, axis=-1) - probs
  top_p = controls.top_p[:, None]
  within &= (top_p >= 1) | (before < top_p)
  within &= probs >= controls.min_p[:, None] * probs[:, :1]
  num_kept = jnp.sum(within, axis=-1, keepdims=True)
  least = jnp.take_along_axis(ordered, jnp.maximum(num_kept - 1, 0), axis=-1)
  return jnp.where(logits >= least, logits, -jnp.inf)


def _invert_cdf(logits: jax.Array, uniforms: jax.Array) -> jax.Array:
  """[S] tokens of the softmax of [S, V] logits, one uniform number each.

  One random number a row, where adding Gumbel noise takes one a token: hashing
  128,256 of them for each row would cost more than the rest of the draw.
  """
  mass = jnp.cumsum(jax.nn.softmax(logits, axis=-1), axis=-1)
  # Relative to the sum as rounded, which may differ from 1 in the last digits.
  threshold = uniforms[:, None] * mass[:, -1:]
  tokens = jnp.sum(mass <= threshold, axis=-1)
  # A number that rounds to the whole mass takes the last token with any.
  last = jnp.sum(mass < mass[:, -1:], axis=-1)
  return jnp.minimum(tokens, last).astype(jnp.int32)


def _logps_of(logits: jax.Array, tokens: jax.Array) -> jax.Array:
  """[S] log-probabilities of [S] tokens under the softmax of [S, V] logits."""
  chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
  return chosen - jax.nn.logsumexp(logits, axis=-1)
