# SPDX-License-Identifier: Apache-2.0
"""What a model answers at every position of a few prompts: logits or scores."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import heads, llama, sharding, source_params
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import Source

# Positions whose outputs exist at once: 16 MB of logits for 128,000 tokens.
CHUNK = 32


class Outputs(NamedTuple):
  """Outputs at up to `CHUNK` positions that follow each other in a prompt.

  Attributes:
    prompt: Its index.
    start: The first of the positions.
    values: [n, V] logits, or [n, labels] scores; float32.
  """

  prompt: int
  start: int
  values: np.ndarray


def prompt_outputs(
  source: Source, prompts: Sequence[np.ndarray]
) -> Iterator[Outputs]:
  """Runs a model on prompts, one after another, in float32 on all devices.

  The model leaves memory when the iterator does.

  Args:
    source: The model.
    prompts: [T] integer ids each, of any lengths above 0.

  Yields:
    Outputs of all positions, in order.
  """
  config = dataclasses.replace(source.config, dtype="float32", remat="none")
  # A GPU or TPU would round the factors of float32 products otherwise.
  with jax.default_matmul_precision("highest"):
    # A damaged model is compared, too: that is when one wants to know.
    params = source_params.load_params(
      source, _mesh(config), allow_nonfinite=True
    )
  for index, prompt in enumerate(prompts):
    # Whole chunks, so that few lengths are compiled; no position sees what
    # comes after it.
    padded = np.zeros((1, -(-len(prompt) // CHUNK) * CHUNK), np.int32)
    padded[0, : len(prompt)] = prompt
    with jax.default_matmul_precision("highest"):
      hidden = _hidden(config, params, padded)
    for start in range(0, len(prompt), CHUNK):
      with jax.default_matmul_precision("highest"):
        values = _values(config, params, hidden[0, start : start + CHUNK])
      count = min(CHUNK, len(prompt) - start)
      yield Outputs(index, start, jax.device_get(values)[:count])


# Compiled once for models of one shape, such as the two that are compared.
@functools.partial(jax.jit, static_argnums=0)
def _hidden(config: LlamaConfig, params: Any, tokens: jax.Array) -> jax.Array:
  positions = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
  return llama.apply(params, config, tokens, positions=positions)


@functools.partial(jax.jit, static_argnums=0)
def _values(config: LlamaConfig, params: Any, hidden: jax.Array) -> jax.Array:
  if config.num_labels:
    return heads.scores(params, hidden)
  return heads.lm_logits(params, config, hidden)


def _mesh(config: LlamaConfig) -> jax.sharding.Mesh:
  """All devices; parameters are split as many ways as their width allows."""
  ways = math.gcd(config.width, jax.device_count())
  return sharding.make_mesh({"fsdp": ways, "data": -1})
