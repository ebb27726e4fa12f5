# SPDX-License-Identifier: Apache-2.0
"""What attention needs: operations and bytes, counted by hand."""

import pytest

from ramjax.tools import bench_attention_shapes
from ramjax.tools.bench_attention_shapes import SIZES, Shape, Size
from ramjax.tools.model_flops import model_flops

# Rows of 8 tokens, two of them; 4 heads of 16 over 2.
_SHAPE = Shape(2, 8, 4, 2, 16, packed=False)
_PACKED = _SHAPE._replace(packed=True)


def test_packed_rows_hold_four_segments():
  assert bench_attention_shapes.segment_lengths(_SHAPE) == [8]
  assert bench_attention_shapes.segment_lengths(_PACKED) == [1, 1, 2, 4]


@pytest.mark.parametrize(
  # 8 tokens have 36 pairs; segments of 1, 1, 2, 4 have 1 + 1 + 3 + 10.
  ("shape", "pairs"),
  [(_SHAPE, 36), (_PACKED, 15)],
)
def test_operations_are_those_of_the_pairs_that_are_seen(shape, pairs):
  forward, _ = bench_attention_shapes.work(shape, backward=False, itemsize=4)
  both, _ = bench_attention_shapes.work(shape, backward=True, itemsize=4)
  # Two products of 16 multiplications and additions, of 4 heads and 2 rows.
  assert forward == pairs * 2 * (2 * 16) * 4 * 2
  assert both == 3 * forward


def test_operations_are_those_that_training_counts():
  from ramjax.models import presets

  model = presets.llama_config(
    "tiny", num_layers=1, num_heads=4, num_kv_heads=2, head_dim=16
  )
  counts = dict(tokens=0, supervised=0, pairs=2 * 15)
  both, _ = bench_attention_shapes.work(_PACKED, backward=True, itemsize=4)
  assert both == model_flops(model, counts)


def test_every_array_is_read_or_written_once():
  _, forward = bench_attention_shapes.work(_SHAPE, backward=False, itemsize=2)
  _, both = bench_attention_shapes.work(_SHAPE, backward=True, itemsize=2)
  query, key = 2 * 8 * 4 * 16 * 2, 2 * 8 * 2 * 16 * 2
  assert forward == 2 * query + 2 * key
  # And the cotangent of the output, and three gradients.
  assert both == 4 * query + 4 * key


def test_a_size_is_every_length_width_and_packing():
  found = list(bench_attention_shapes.shapes(Size(64, (16, 32), (8,), 2, 1)))
  assert found == [
    Shape(4, 16, 2, 1, 8, False),
    Shape(4, 16, 2, 1, 8, True),
    Shape(2, 32, 2, 1, 8, False),
    Shape(2, 32, 2, 1, 8, True),
  ]


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_whole_and_segments_fill_them(size):
  for shape in bench_attention_shapes.shapes(SIZES[size]):
    assert shape.rows * shape.length == SIZES[size].tokens
    lengths = bench_attention_shapes.segment_lengths(shape)
    assert sum(lengths) == shape.length and min(lengths) > 0
