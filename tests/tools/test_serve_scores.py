# SPDX-License-Identifier: Apache-2.0
"""Scores of given tokens: against the whole model, over the edges of chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups

from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig
from ramjax.tools import serve_scores

_CONFIG = LlamaConfig(
  vocab_size=40,
  width=16,
  mlp_width=16,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  max_positions=256,
)
_VOCAB = 36


@pytest.fixture(scope="module")
def params():
  return tiny_groups.params(_CONFIG)


@jax.jit
def _whole(params, tokens):
  """[T, V] log-probabilities in one piece."""
  positions = jnp.arange(tokens.shape[1])[None]
  hidden = llama.apply(params, _CONFIG, tokens, positions=positions)
  logits = heads.lm_logits(params, _CONFIG, hidden)[0]
  return jax.nn.log_softmax(logits)[:, :_VOCAB]


@pytest.mark.parametrize(
  "length,first",
  [(5, 1), (64, 1), (65, 1), (130, 63), (130, 64), (130, 65), (9, 9), (1, 1)],
)
def test_scores_are_those_of_the_whole_model(params, length, first):
  tokens = np.random.default_rng(length).integers(0, _VOCAB, length, np.int32)
  found = serve_scores.score(
    params, _CONFIG, tokens, first=first, vocab_size=_VOCAB
  )
  padded = np.zeros((1, 256), np.int32)
  padded[0, :length] = tokens
  logps = np.asarray(_whole(params, padded))[first - 1 : length - 1]
  chosen = logps[np.arange(length - first), tokens[first:]]
  np.testing.assert_allclose(found.logps, chosen, atol=1e-4)
  best = -np.sort(-logps, axis=-1)[:, : serve_scores.MOST_TOP]
  np.testing.assert_allclose(found.top_logps, best, atol=1e-4)
  at_top = np.take_along_axis(logps, found.top_ids, axis=-1)
  np.testing.assert_allclose(at_top, best, atol=1e-4)
