# SPDX-License-Identifier: Apache-2.0
"""Blocks cover a tensor once, in order, and stay small."""

import ml_dtypes
import numpy as np
import pytest

from ramjax.models import tensors
from ramjax.models.tensors import TensorSpec


def test_blocks_cover_every_row_once_in_order(monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 40)
  # 4 bfloat16 a row are 8 bytes: five rows fit in 40, so 13 rows need three
  # blocks, and equal ones have five, five and three.
  spec = TensorSpec((13, 4), "bfloat16")
  assert list(tensors.blocks(spec)) == [
    (0, 5),
    (5, 10),
    (10, 13),
  ]


def test_blocks_are_about_equal(monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 40)
  spec = TensorSpec((12, 4), "bfloat16")
  assert tensors.block_rows(spec) == 4


def test_a_row_larger_than_a_block_is_a_block(monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 8)
  spec = TensorSpec((2, 100), "float32")
  assert list(tensors.blocks(spec)) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
  ("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float16", 2)]
)
def test_bytes_are_counted_by_dtype(dtype, size):
  assert tensors.num_bytes(TensorSpec((3, 5), dtype)) == 15 * size


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_finite_values_of_either_sign_are_told_from_the_others(dtype):
  largest = ml_dtypes.finfo(dtype).max
  finite = np.array([0.0, -0.0, 1.0, largest, -largest], dtype)
  assert tensors.is_finite(finite) and tensors.is_finite(finite[:0])
  for bad in (np.nan, -np.nan, np.inf, -np.inf):
    for where in (0, 4):
      values = finite.copy()
      values[where] = bad
      assert not tensors.is_finite(values)
