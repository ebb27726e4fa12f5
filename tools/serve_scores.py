# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of given tokens, and which were the likeliest instead."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig

# Most alternatives of a token that can be asked for.
MOST_TOP = 20
# Positions whose logits exist at once.
_CHUNK = 64


class Scores(NamedTuple):
  """Of tokens that follow others, n of them.

  Attributes:
    logps: [n] float32, in nats.
    top_ids: [n, K] int32, the likeliest first; K is `MOST_TOP` or all ids.
    top_logps: [n, K] float32.
  """

  logps: np.ndarray
  top_ids: np.ndarray
  top_logps: np.ndarray


def score(
  params: Any,
  config: LlamaConfig,
  tokens: np.ndarray,
  *,
  first: int,
  vocab_size: int,
) -> Scores:
  """Scores `tokens[first:]`, each given all before it.

  Args:
    params: Of a language model, in `config.dtype`.
    config: Its shape.
    tokens: [T] ids below `vocab_size`; T is at most `config.max_positions`.
    first: The first token that is scored, from 1 to T.
    vocab_size: Ids from there up are no alternatives.

  Returns:
    `Scores` of T - first tokens.
  """
  length = len(tokens)
  # Powers of two, so that few programs are compiled.
  padded = np.zeros((1, max(_CHUNK, 1 << (length - 1).bit_length())), np.int32)
  padded[0, :length] = tokens
  hidden = _hidden(params, config, padded)
  targets = np.roll(padded[0], -1)
  parts = [
    _chunk(
      params,
      config,
      hidden[0, start : start + _CHUNK],
      targets[start : start + _CHUNK],
      vocab_size=vocab_size,
    )
    for start in range((first - 1) // _CHUNK * _CHUNK, length - 1, _CHUNK)
  ]
  skipped = (first - 1) % _CHUNK
  num_top = min(MOST_TOP, vocab_size)
  empty = Scores(
    np.zeros(0, np.float32),
    np.zeros((0, num_top), np.int32),
    np.zeros((0, num_top), np.float32),
  )
  whole = zip(empty, *jax.device_get(parts), strict=True)
  return Scores(*(np.concatenate(x)[skipped:][: length - first] for x in whole))


@functools.partial(jax.jit, static_argnames="config")
def _hidden(params, config, tokens):
  positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
  return llama.apply(params, config, tokens, positions=positions)


@functools.partial(jax.jit, static_argnames=("config", "vocab_size"))
def _chunk(params, config, hidden, targets, *, vocab_size):
  """The three fields of `Scores`, of the positions of a chunk."""
  # Under the model as it is, as the sampler has them; then only what may be
  # written is an alternative.
  logits = heads.lm_logits(params, config, hidden)
  logps = jax.nn.log_softmax(logits)[:, :vocab_size]
  top_logps, top_ids = jax.lax.top_k(logps, min(MOST_TOP, vocab_size))
  chosen = jnp.take_along_axis(logps, targets[:, None], axis=-1)[:, 0]
  return chosen, top_ids, top_logps
