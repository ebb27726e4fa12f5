# SPDX-License-Identifier: Apache-2.0
"""The least that sampling a queue can take, by hand."""

import dataclasses

import jax
import numpy as np
import pytest

from ramjax.models import llama
from ramjax.models.config import LlamaConfig
from ramjax.tools import bench_sample_floor

# Of a layer: queries and output 3 x 4 each, keys and values 3 x 2 each, MLP
# 3 x 3 x 5; two layers, and a head of 3 x 7.
_MODEL = LlamaConfig(
  vocab_size=7,
  width=3,
  mlp_width=5,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=2,
  tie_embeddings=True,
)
_LAYERS, _HEAD = 2 * (2 * 12 + 2 * 6 + 45), 21
# Keys and values of two layers, of one head of 2.
_POSITION = 2 * 2 * 2


def _work(prompts, answers, *, rows, itemsize=4):
  return bench_sample_floor.work(
    _MODEL,
    np.array(prompts),
    np.array(answers),
    rows=rows,
    itemsize=itemsize,
  )


def test_one_answer_is_counted_by_hand():
  flops, num_bytes = _work([3], [2], rows=1)
  # Three tokens of the prompt and one of the answer are fed; two logits are
  # made; pairs 1 + 2 + 3 + 4, each 2 x 2 FLOP for 2 layers of 2 heads of 2.
  assert flops == 2 * _LAYERS * 4 + 2 * _HEAD * 2 + 4 * 2 * 2 * 2 * 10
  # Two steps; the cache holds 3 positions at the first, 4 at the second.
  assert num_bytes == 4 * (2 * (_LAYERS + _HEAD) + _POSITION * (3 + 4))


def test_every_weight_that_multiplies_is_read_once_a_step():
  weights = jax.eval_shape(
    lambda key: llama.init_params(_MODEL, key), jax.random.key(0)
  )
  # The tied table is the head; the scales of norms are left out.
  norms = (2 * _MODEL.num_layers + 1) * _MODEL.width
  matrices = sum(leaf.size for leaf in jax.tree.leaves(weights)) - norms
  cache = _POSITION * 1
  assert _work([1], [1], rows=1, itemsize=1)[1] == matrices + cache


@pytest.mark.parametrize(
  ("answers", "rows", "steps"),
  [([4, 4], 1, 8), ([4, 4], 2, 4), ([4, 4, 4], 2, 6), ([9, 1, 1], 2, 9)],
)
def test_steps_are_those_of_full_batches_or_of_the_longest(
  answers, rows, steps
):
  (_, num_bytes), (_, cache) = (
    bench_sample_floor.work(
      dataclasses.replace(_MODEL, num_layers=layers),
      np.full(len(answers), 5),
      np.array(answers),
      rows=rows,
      itemsize=1,
    )
    for layers in (2, 1)
  )
  # The second layer's: its weights at each step, and as much of the cache.
  held = sum(5 + at for answer in answers for at in range(answer))
  assert num_bytes - cache == steps * _LAYERS / 2 + _POSITION / 2 * held


def test_rows_share_the_reading_of_weights_and_not_the_arithmetic():
  alone, together = (_work([5, 5], [4, 4], rows=rows) for rows in (1, 2))
  assert alone[0] == together[0]
  assert alone[1] - together[1] == 4 * 4 * (_LAYERS + _HEAD)


def test_bfloat16_halves_the_bytes_alone():
  (flops, wide), (same, narrow) = (
    _work([5, 9], [4, 2], rows=2, itemsize=size) for size in (4, 2)
  )
  assert flops == same and wide == 2 * narrow
