# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of training: by hand, and padding aside."""

from ramjax.models.config import LlamaConfig
from ramjax.tools import model_flops

SHAPE = LlamaConfig(
  vocab_size=10,
  width=4,
  mlp_width=6,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=2,
)


def test_flops_by_hand():
  # One layer: query and output 4 x 4, key and value 4 x 2, three of 4 x 6:
  # 120 weights, 240 in both, 6 operations a token each: 7,200. The head: 40
  # weights, 2 tokens: 480. Attention of 5 tokens: 15 pairs, 4 x 2 operations
  # each (query-key and weight-value, width 4, two a multiply-add) is 16
  # forward, 48 with the backward pass, 2 layers: 1,440.
  counts = dict(places=99, tokens=5, supervised=2, pairs=15)
  assert model_flops.model_flops(SHAPE, counts) == 7200 + 480 + 1440


def test_padding_costs_no_flops():
  counts = dict(places=8, tokens=5, supervised=2, pairs=15)
  more = dict(counts, places=8000)
  assert model_flops.model_flops(SHAPE, counts) == model_flops.model_flops(
    SHAPE, more
  )
