# SPDX-License-Identifier: Apache-2.0
"""Generation with the key-value cache: prefill, then one token at a time."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import heads, llama
from ramjax.models.cache import Cache, init_cache
from ramjax.models.config import LlamaConfig


class Generated(NamedTuple):
  """What `generate` returns.

  Attributes:
    tokens: [B, max_new_tokens] int32; what follows a stop token is undefined.
    lengths: [B] int32, generated tokens before the stop token.
  """

  tokens: jax.Array
  lengths: jax.Array


class _Loop(NamedTuple):
  """State of the decode loop."""

  index: jax.Array  # [] tokens generated so far
  last: jax.Array  # [B] the newest token of each row
  done: jax.Array  # [B] whether the row has stopped
  tokens: jax.Array  # [B, max_new_tokens]
  lengths: jax.Array  # [B]
  cache: Cache


@functools.partial(
  jax.jit,
  static_argnames=(
    "config",
    "max_new_tokens",
    "stop_tokens",
    "temperature",
    "vocab_size",
  ),
)
def generate(
  params: llama.Params,
  config: LlamaConfig,
  prompts: jax.Array,
  prompt_lengths: jax.Array,
  *,
  max_new_tokens: int,
  stop_tokens: tuple[int, ...],
  temperature: float = 0.0,
  key: jax.Array | None = None,
  vocab_size: int | None = None,
) -> Generated:
  """Samples one continuation per prompt; stops when every row has stopped.

  Args:
    params: As `llama.init_params`.
    config: Its shape.
    prompts: [B, T] int32, right-padded with anything.
    prompt_lengths: [B] int32, at least 1.
    max_new_tokens: Tokens generated per row at most.
    stop_tokens: Ids that end a row.
    temperature: Divides the logits; 0 takes the most likely token.
    key: PRNG key; needed when `temperature` is above 0.
    vocab_size: Of the tokenizer, where the model's is padded beyond it: ids
      from there up are never chosen. None allows every id.

  Returns:
    `Generated`.

  Raises:
    ValueError: `temperature` is negative, or above 0 without a key;
      `max_new_tokens` is below 1.
  """
  if max_new_tokens < 1:
    raise ValueError(f"max_new_tokens={max_new_tokens} must be at least 1.")
  if temperature < 0 or (temperature > 0 and key is None):
    raise ValueError(
      f"temperature={temperature} must be 0 (greedy), or above 0 with a key."
    )
  batch, length = prompts.shape
  stops = jnp.asarray(stop_tokens, jnp.int32)
  cache = init_cache(config, batch_size=batch, length=length + max_new_tokens)
  positions = jnp.broadcast_to(jnp.arange(length)[None], (batch, length))
  hidden, cache = llama.apply(
    params, config, prompts, positions=positions, cache=cache
  )

  def choose(hidden, index):
    logits = heads.lm_logits(params, config, hidden)[:, :vocab_size]
    if key is None or temperature == 0:
      return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    step_key = jax.random.fold_in(key, index)
    return jax.random.categorical(step_key, logits / temperature).astype(
      jnp.int32
    )

  def advance(loop: _Loop, token: jax.Array, cache: Cache) -> _Loop:
    done = loop.done | jnp.isin(token, stops)
    return _Loop(
      index=loop.index + 1,
      last=token,
      done=done,
      tokens=loop.tokens.at[:, loop.index].set(token),
      lengths=loop.lengths + (~done).astype(jnp.int32),
      cache=cache,
    )

  def body(loop: _Loop) -> _Loop:
    # The newest token goes in the slot after the prompt and its predecessors:
    # over the padding, which nothing has attended to.
    slot = prompt_lengths + loop.index - 1
    hidden, cache = llama.apply(
      params,
      config,
      loop.last[:, None],
      positions=slot[:, None],
      cache=loop.cache,
    )
    return advance(loop, choose(hidden[:, 0], loop.index), cache)

  def unfinished(loop: _Loop) -> jax.Array:
    return (loop.index < max_new_tokens) & ~jnp.all(loop.done)

  last_hidden = jnp.take_along_axis(
    hidden, (prompt_lengths - 1)[:, None, None], axis=1
  )[:, 0]
  empty = _Loop(
    index=jnp.int32(0),
    last=jnp.zeros(batch, jnp.int32),
    done=jnp.zeros(batch, bool),
    tokens=jnp.zeros((batch, max_new_tokens), jnp.int32),
    lengths=jnp.zeros(batch, jnp.int32),
    cache=cache,
  )
  first = advance(empty, choose(last_hidden, jnp.int32(0)), cache)
  loop = jax.lax.while_loop(unfinished, body, first)
  return Generated(tokens=loop.tokens, lengths=loop.lengths)


def pad_prompts(
  prompts: Sequence[np.ndarray], *, batch_size: int, multiple: int = 32
) -> tuple[np.ndarray, np.ndarray]:
  """Right-pads token lists to one shape that few batches share.

  Args:
    prompts: At most `batch_size` int arrays, none empty.
    batch_size: Rows of the result; missing ones repeat the first prompt.
    multiple: The length is rounded up to a multiple of this, so that `generate`
      compiles for few shapes.

  Returns:
    [batch_size, T] int32 tokens and [batch_size] int32 lengths.

  Raises:
    ValueError: No prompt, more than `batch_size`, or an empty one.
  """
  if not 1 <= len(prompts) <= batch_size:
    raise ValueError(
      f"{len(prompts)} prompts do not fit a batch of {batch_size}: give from 1"
      f" to {batch_size}."
    )
  if not all(len(prompt) for prompt in prompts):
    raise ValueError("a prompt has no tokens: it needs at least a BOS.")
  rows = list(prompts) + [prompts[0]] * (batch_size - len(prompts))
  longest = max(len(row) for row in rows)
  length = -(-longest // multiple) * multiple
  tokens = np.zeros((batch_size, length), np.int32)
  for i, row in enumerate(rows):
    tokens[i, : len(row)] = row
  return tokens, np.array([len(row) for row in rows], np.int32)
