# SPDX-License-Identifier: Apache-2.0
"""Between two models along the arc, by hand and by NumPy."""

import math

import numpy as np
import pytest

from ramjax.models import merged_slerp, tensors
from ramjax.models.tensors import TensorError


def _source(tiny, config, values, dtype="float32"):
  return tiny.ArraySource(config, {"x": np.array(values, dtype)})


def _read(source):
  spec = source.specs["x"]
  blocks = [source.rows("x", *at) for at in tensors.blocks(spec)]
  return np.concatenate(blocks)


def test_a_right_angle_is_halved(tiny, config):
  first = _source(tiny, config, [[2.0], [0.0]])
  second = _source(tiny, config, [[0.0], [4.0]])
  # sin(45) / sin(90) of each.
  half = math.sqrt(0.5)
  np.testing.assert_allclose(
    _read(merged_slerp.slerp(first, second, 0.5)),
    [[2 * half], [4 * half]],
    rtol=1e-7,
  )
  # 30 degrees on: sin 60 and sin 30.
  np.testing.assert_allclose(
    _read(merged_slerp.slerp(first, second, 1 / 3)),
    [[2 * math.sqrt(0.75)], [4 * 0.5]],
    rtol=1e-7,
  )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_ends_are_the_models_to_the_bit(tiny, config, dtype):
  rng = np.random.default_rng(0)
  values = rng.standard_normal((2, 9, 5))
  values[:, 0, 0] = -0.0
  first, second = (_source(tiny, config, v, dtype) for v in values)
  for t, end in ((0, first), (1, second)):
    found = _read(merged_slerp.slerp(first, second, t))
    assert found.tobytes() == end.arrays["x"].tobytes()


@pytest.mark.parametrize("block_bytes", [24, 2**20])
@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-4])
def test_it_agrees_with_whole_arrays(
  tiny, config, noise, block_bytes, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
  rng = np.random.default_rng(1)
  a = rng.standard_normal((31, 6)).astype(np.float32)
  b = (a + noise * rng.standard_normal(a.shape)).astype(np.float32)
  first, second = (_source(tiny, config, v) for v in (a, b))
  x, y = a.astype(float), b.astype(float)
  angle = math.atan2(
    # Kahan: accurate for any angle, and not the formula under test.
    np.linalg.norm(x / np.linalg.norm(x) - y / np.linalg.norm(y)),
    np.linalg.norm(x / np.linalg.norm(x) + y / np.linalg.norm(y)),
  )
  angle *= 2
  expected = math.sin(0.7 * angle) * x + math.sin(0.3 * angle) * y
  np.testing.assert_allclose(
    _read(merged_slerp.slerp(first, second, 0.3)),
    expected / math.sin(angle),
    rtol=1e-6,
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ("a", "b"), [([1.0, 2.0], [3.0, 6.0]), ([0.0, 0.0], [3.0, 6.0])]
)
def test_parallel_and_zero_tensors_are_interpolated_on_the_line(
  tiny, config, a, b
):
  first, second = _source(tiny, config, a), _source(tiny, config, b)
  np.testing.assert_allclose(
    _read(merged_slerp.slerp(first, second, 0.25)),
    0.75 * np.array(a) + 0.25 * np.array(b),
    rtol=1e-6,
  )


def test_opposite_tensors_are_refused_by_name(tiny, config):
  first = _source(tiny, config, [1.0, 2.0])
  second = _source(tiny, config, [-2.0, -4.0])
  with pytest.raises(TensorError, match="'x' points in opposite directions"):
    _read(merged_slerp.slerp(first, second, 0.5))


def test_sums_do_not_overflow(tiny, config):
  first = _source(tiny, config, [1e30, 0.0])
  second = _source(tiny, config, [0.0, 1e30])
  np.testing.assert_allclose(
    _read(merged_slerp.slerp(first, second, 0.5)),
    [1e30 * math.sqrt(0.5)] * 2,
    rtol=1e-6,
  )


def test_each_tensor_is_read_twice_and_never_more_than_a_block(
  tiny, config, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 48)
  rng = np.random.default_rng(1)
  sources = [
    _source(tiny, config, rng.standard_normal((31, 6))) for _ in range(2)
  ]
  _read(merged_slerp.slerp(*sources, 0.5))
  for source in sources:
    assert source.num_bytes_read == 2 * 31 * 6 * 4
    for _, start, stop in source.reads:
      assert stop - start <= tensors.block_rows(source.specs["x"])
