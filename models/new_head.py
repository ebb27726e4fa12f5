# SPDX-License-Identifier: Apache-2.0
"""A score head that starts anew, in place of an LM head."""

import math
from typing import Any

import jax
from jax.sharding import Mesh

from ramjax.models import llama
from ramjax.models.config import LlamaConfig


def new_score_head(
  config: LlamaConfig, key: jax.Array, mesh: Mesh, *, init_std: float
) -> dict[str, Any]:
  """The parameter `score` of a model, of normal numbers around 0.

  Frameworks differ here (0, 0.02, or 1 / sqrt(width + 1)), so it is the
  caller's to say. With 0 every score is 0 at first, and pairs cost ln 2.

  Args:
    config: With `num_labels` of at least 1.
    key: PRNG key.
    mesh: Where it goes.
    init_std: Standard deviation, at least 0.

  Returns:
    `kernel`, [D, num_labels] float32.

  Raises:
    ValueError: `init_std` is negative or not finite.
  """
  if not 0 <= init_std < math.inf:
    raise ValueError(
      f"reward.init_std={init_std} must be a finite number of at least 0."
    )
  shape = (config.width, config.num_labels)
  sharding = llama.param_shardings(config, mesh)["score"]["kernel"]
  make = jax.jit(
    lambda key: init_std * jax.random.normal(key, shape),
    out_shardings=sharding,
  )
  return {"kernel": make(key)}
