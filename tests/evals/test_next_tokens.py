# SPDX-License-Identifier: Apache-2.0
"""Next tokens of prompts, against the whole of the logits one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_groups

from ramjax.evals.next_tokens import next_tokens
from ramjax.models import heads, llama
from ramjax.models.config import LlamaConfig

_CONFIG = LlamaConfig(
  vocab_size=64,
  width=16,
  mlp_width=32,
  num_layers=1,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
  max_positions=128,
)


@pytest.fixture(scope="module")
def params():
  return tiny_groups.params(_CONFIG)


@jax.jit
def _last_logits(params, tokens):
  """[V] behind the last of [T] tokens, unpadded."""
  positions = jnp.arange(len(tokens), dtype=jnp.int32)[None]
  hidden = llama.apply(params, _CONFIG, tokens[None], positions=positions)
  return heads.lm_logits(params, _CONFIG, hidden[0, -1])


def _expected(params, prompt, num, vocab_size):
  logits = np.asarray(_last_logits(params, prompt), np.float64)
  logps = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
  ids = np.argsort(-logps[:vocab_size], kind="stable")[:num]
  return ids, logps[ids]


def test_batches_of_any_lengths_are_as_one_by_one(params):
  rng = np.random.default_rng(0)
  prompts = [
    rng.integers(0, 60, n).astype(np.int32) for n in (1, 70, 64, 70, 64, 1)
  ]
  got = {
    found.prompt: found
    for found in next_tokens(
      params, _CONFIG, prompts, num=4, vocab_size=60, most_rows=3
    )
  }
  assert sorted(got) == list(range(6))
  for index, prompt in enumerate(prompts):
    ids, logps = _expected(params, prompt, 4, 60)
    np.testing.assert_array_equal(got[index].ids, ids)
    np.testing.assert_allclose(got[index].logps, logps, atol=1e-4)
    assert got[index].logps.dtype == np.float32


def test_more_tokens_than_there_are_gives_all(params):
  prompt = np.arange(3, dtype=np.int32)
  (got,) = next_tokens(
    params, _CONFIG, [prompt], num=20, vocab_size=7, most_rows=1
  )
  assert sorted(got.ids) == list(range(7))


@pytest.mark.parametrize("length", [0, 129])
def test_a_prompt_without_room_is_refused(params, length):
  prompts = [np.zeros(1, np.int32), np.zeros(length, np.int32)]
  with pytest.raises(ValueError, match=f"prompt 2 has {length} tokens"):
    list(
      next_tokens(params, _CONFIG, prompts, num=1, vocab_size=60, most_rows=1)
    )
