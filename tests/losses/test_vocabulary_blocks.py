# SPDX-License-Identifier: Apache-2.0
"""Blocks of a matrix: each column in one of them, none of them large."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.losses import vocabulary_blocks
from ramjax.losses.vocabulary_blocks import WHOLE, Axes

_SPLIT = Axes(width=("fsdp",))


def _on_devices(function, *parts):
  """`function` of each device's part, a simulated device for each."""
  return jax.vmap(function, axis_name="fsdp")(*parts)


def _cut(width, num_columns, ways=8):
  found = []

  def cut(_):
    found.append(vocabulary_blocks.cut(width, num_columns, _SPLIT))
    return 0

  _on_devices(cut, jnp.zeros(ways))
  return found[0]


def test_a_matrix_that_a_device_holds_is_one_block():
  blocks = vocabulary_blocks.cut(4096, 128_256, WHOLE)
  assert (blocks.count, blocks.size) == (1, 128_256)


@pytest.mark.parametrize(
  "width,num_columns,count,size",
  [
    (4096, 128_256, 16, 63 * 128),  # Llama 3.1 8B
    (8192, 128_256, 32, 32 * 128),  # Llama 3.1 70B
    (8192, 128_256 // 8, 4, 32 * 128),  # the same, tensor=8
    (4096, 128_257, 16, 63 * 128),  # with a token added: a prime
    (64, 512, 1, 512),
  ],
)
def test_a_blocks_gradient_is_at_most_an_eighth_of_a_gib(
  width, num_columns, count, size
):
  blocks = _cut(width, num_columns)
  assert (blocks.count, blocks.size) == (count, size)
  assert 4 * width * size <= 2**27


@pytest.mark.parametrize("num_columns", [8, 9, 16, 23, 53])
def test_each_column_is_gathered_and_its_gradient_added_once(num_columns):
  # Two devices with two rows each; the gradient of a block is the block, and
  # each device adds its own to the sum.
  kernel = np.random.default_rng(0).normal(size=(2, 2, num_columns))
  kernel = jnp.asarray(kernel, jnp.float32)

  def run(own):
    blocks = vocabulary_blocks.cut(4, num_columns, _SPLIT)

    def of_block(block, grad):
      is_new = jnp.arange(blocks.size)[None] >= block.repeated
      return blocks.add_gradient(grad, block.kernel * is_new, block)

    return blocks.for_each(own, jnp.float32, of_block, jnp.zeros_like(own))

  with mock.patch.object(vocabulary_blocks, "_BLOCK_BYTES", 4 * 4 * 8):
    found = _on_devices(run, kernel)
    assert _cut(4, num_columns, 2).count == -(-num_columns // 8)
  np.testing.assert_allclose(found, 2 * kernel, rtol=1e-6)
