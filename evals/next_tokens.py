# SPDX-License-Identifier: Apache-2.0
"""The likeliest next tokens of prompts, by one forward pass over each."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig

# Lengths are rounded up to powers of two, so that few programs are compiled.
_LEAST_LENGTH = 64
# Positions of a batch, padding included.
_MOST_POSITIONS = 16_384


class Next(NamedTuple):
  """Of one prompt.

  Attributes:
    prompt: Its index.
    ids: [num] int32, the likeliest first.
    logps: [num] float32 natural log-probabilities under the model as it is.
  """

  prompt: int
  ids: np.ndarray
  logps: np.ndarray


def next_tokens(
  params: Any,
  config: LlamaConfig,
  prompts: Sequence[np.ndarray],
  *,
  num: int,
  vocab_size: int,
  most_rows: int,
) -> Iterator[Next]:
  """Runs a model on prompts; those of like length go together.

  Args:
    params: Of a language model.
    config: Its shape.
    prompts: [T] ids each, at least one.
    num: How many tokens, up to `vocab_size`.
    vocab_size: Of the tokenizer; ids from there up are never among them.
    most_rows: Prompts at a time, at most.

  Yields:
    One `Next` a prompt, batch by batch.

  Raises:
    ValueError: A prompt is empty, or longer than the model's positions.
  """
  buckets: dict[int, list[int]] = {}
  for index, prompt in enumerate(prompts):
    if not 0 < len(prompt) <= config.max_positions:
      raise ValueError(
        f"prompt {index + 1} has {len(prompt)} tokens, and must have from 1 to"
        f" the {config.max_positions} positions the model is for."
      )
    length = max(_LEAST_LENGTH, _power_of_two(len(prompt)))
    buckets.setdefault(length, []).append(index)
  for length, indices in sorted(buckets.items()):
    most = max(1, min(most_rows, _MOST_POSITIONS // length))
    # Every batch of a length has as many rows; some are nobody's.
    num_rows = _power_of_two(min(most, len(indices)))
    num_rows = num_rows if num_rows <= most else num_rows // 2
    for start in range(0, len(indices), num_rows):
      batch = indices[start : start + num_rows]
      tokens = np.zeros((num_rows, length), np.int32)
      last = np.zeros(num_rows, np.int32)
      for row, index in enumerate(batch):
        tokens[row, : len(prompts[index])] = prompts[index]
        last[row] = len(prompts[index]) - 1
      ids, logps = jax.device_get(
        _likeliest(params, config, tokens, last, num=num, vocab_size=vocab_size)
      )
      for row, index in enumerate(batch):
        yield Next(index, ids[row], logps[row])


@functools.partial(jax.jit, static_argnames=("config", "num", "vocab_size"))
def _likeliest(
  params: Any,
  config: LlamaConfig,
  tokens: jax.Array,
  last: jax.Array,
  *,
  num: int,
  vocab_size: int,
) -> tuple[jax.Array, jax.Array]:
  """Ids and log-probabilities, [B, num] each, behind `last` [B]."""
  positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)
  # Causal attention never looks at the padding that follows.
  hidden = llama.apply(
    params,
    config,
    tokens,
    positions=jnp.broadcast_to(positions[None], tokens.shape),
  )
  at_end = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
  logits = heads.lm_logits(params, config, at_end)
  # Under the model as it is; then only what may be written is an alternative.
  logps = jax.nn.log_softmax(logits)[:, :vocab_size]
  top_logps, ids = jax.lax.top_k(logps, min(num, vocab_size))
  return ids, top_logps


def _power_of_two(number: int) -> int:
  """The least that is not below it."""
  return 1 << (number - 1).bit_length()
