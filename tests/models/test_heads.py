# SPDX-License-Identifier: Apache-2.0
"""Heads: the LM head's own matrix, or the embedding's transpose."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from ramjax.models import heads


def test_untied_head_is_its_own_matrix(config, params):
  kernel = heads.lm_kernel(params, config)
  np.testing.assert_array_equal(kernel, params["lm_head"]["kernel"])


def test_tied_head_is_the_embedding_transposed(config, params):
  tied = dataclasses.replace(config, tie_embeddings=True)
  kernel = heads.lm_kernel({"embed": params["embed"]}, tied)
  np.testing.assert_array_equal(kernel, params["embed"]["embedding"].T)


def test_logits_of_bfloat16_states_are_accumulated_in_float32(config):
  # 1 + 2^-10: the sum needs more bits than bfloat16 has.
  kernel = jnp.array([[1.0, 2.0], [2.0**-10, 4.0]])
  logits = heads.lm_logits(
    {"lm_head": {"kernel": kernel}}, config, jnp.ones((1, 1, 2), jnp.bfloat16)
  )
  assert logits.dtype == jnp.float32
  np.testing.assert_array_equal(logits[0, 0], [1 + 2.0**-10, 6.0])
