# SPDX-License-Identifier: Apache-2.0
"""Splash: the blocks it is cut into, and what of it runs where.

Its results are held in `test_attention_backends.py`, and that TPUs compile it
in `test_attention_tpu.py`.
"""

import jax.numpy as jnp
import pytest

from ramjax.models import attention_splash


@pytest.mark.parametrize(
  "length,block",
  [(128, 128), (256, 256), (512, 512), (640, 128), (768, 384), (4096, 512)],
)
def test_blocks_divide_the_row_and_fit_the_memory_of_a_core(length, block):
  assert attention_splash.block_size(length) == block


def test_hand_values_of_the_ids_of_two_calls():
  # A prompt, its answers 1 and 2, another segment, padding, a filled block.
  ids = attention_splash.Ids(
    jnp.array([1, 1, 1, 2, 0, -1]), jnp.array([0, 1, 2, 0, 0, -1])
  )
  own, prefix = attention_splash.branch_passes(ids, ids)
  pairs = [65536, 65537, 65538, 131072, 0, -1]
  assert own.q.tolist() == own.kv.tolist() == pairs
  # Only the two answers look, and only at the prompt.
  assert prefix.q.tolist() == [-2, 1, 1, -2, -2, -2]
  assert prefix.kv.tolist() == [1, -3, -3, 2, 0, -3]
