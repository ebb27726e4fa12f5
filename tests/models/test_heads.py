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


def test_hand_value_of_scores():
  # Labels: x, and x - 2 y.
  score = {"score": {"kernel": jnp.array([[1.0, 1.0], [0.0, -2.0]])}}
  out = heads.scores(score, jnp.array([[[3.0, 5.0]]]))
  np.testing.assert_array_equal(out, [[[3.0, -7.0]]])


def test_scores_of_bfloat16_states_are_accumulated_in_float32():
  kernel = jnp.array([[1.0], [2.0**-10]])
  out = heads.scores(
    {"score": {"kernel": kernel}}, jnp.ones((1, 2), jnp.bfloat16)
  )
  assert out.dtype == jnp.float32
  np.testing.assert_array_equal(out, [[1 + 2.0**-10]])


def test_rows_are_scored_at_the_places_asked_for():
  # Row 0 is read at places 1 and 0, row 1 twice at 2; 99 is never read.
  hidden = jnp.array(
    [
      [[1.0, 0.0], [2.0, 1.0], [99.0, 99.0]],
      [[99.0, 0.0], [99.0, 0.0], [5.0, -1.0]],
    ]
  )
  score = {"score": {"kernel": jnp.array([[10.0], [1.0]])}}
  out = heads.scores_at(score, hidden, jnp.array([[1, 0], [2, 2]]))
  np.testing.assert_array_equal(out, [[[21.0], [10.0]], [[49.0], [49.0]]])


def test_a_score_does_not_depend_on_other_places():
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(3, 6, 4)).astype(np.float32)
  score = {"score": {"kernel": rng.normal(size=(4, 3)).astype(np.float32)}}
  last = np.array([[0], [3], [5]], np.int32)
  before = heads.scores_at(score, jnp.asarray(hidden), jnp.asarray(last))
  hidden[np.arange(6)[None] != last] = 1e9
  np.testing.assert_array_equal(
    before, heads.scores_at(score, jnp.asarray(hidden), jnp.asarray(last))
  )
  assert before.shape == (3, 1, 3)
