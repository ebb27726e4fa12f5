# SPDX-License-Identifier: Apache-2.0
"""What transformers' side of `ramjax bench sample` is given."""

import numpy as np

from ramjax.tools import bench_hf_sample, bench_training


def test_prompts_are_padded_at_their_start():
  tokens, mask = bench_hf_sample.left_padded([np.array([7]), np.array([8, 9])])
  assert tokens.tolist() == [[bench_training.PAD_ID, 7], [8, 9]]
  assert mask.tolist() == [[0, 1], [1, 1]]


def test_batches_are_of_like_prompts_and_as_long_as_their_longest_answer():
  limits = np.array([9, 1, 4, 2, 6])
  plan = bench_hf_sample.batches([5, 30, 6, 20, 1], limits, 2)
  assert plan == [([1, 3], 2), ([2, 0], 9), ([4], 6)]
