# SPDX-License-Identifier: Apache-2.0
"""Averages, task arithmetic and extrapolation, by hand and by NumPy."""

from unittest import mock

import numpy as np
import pytest

from ramjax.models import merged, tensors
from ramjax.models.tensors import TensorError, TensorSpec


def _source(tiny, config, *values, dtype="float32"):
  return tiny.ArraySource(config, {"x": np.array(values, dtype)})


def _random(tiny, config, seed, dtype="float32"):
  rng = np.random.default_rng(seed)
  shapes = {"a": (23, 7), "b": (5,), "c": (1, 40)}
  return tiny.ArraySource(
    config,
    {n: rng.standard_normal(s).astype(dtype) for n, s in shapes.items()},
  )


def _read(source):
  return {
    name: np.concatenate(
      [source.rows(name, *at) for at in tensors.blocks(spec)]
    )
    for name, spec in source.specs.items()
  }


def test_linear_by_hand(tiny, config):
  models = [_source(tiny, config, 1.0, 2.0), _source(tiny, config, 5.0, -2.0)]
  mean = merged.linear(models, [1, 1])
  assert _read(mean)["x"].tolist() == [3.0, 0.0]
  # (1 * 1 + 3 * 5) / 4, (1 * 2 - 3 * 2) / 4
  assert _read(merged.linear(models, [1, 3]))["x"].tolist() == [4.0, -1.0]
  total = merged.linear(models, [1, 3], normalize=False)
  assert _read(total)["x"].tolist() == [16.0, -4.0]


def test_task_by_hand(tiny, config):
  base = _source(tiny, config, 1.0, 1.0)
  models = [_source(tiny, config, 2.0, 1.0), _source(tiny, config, 1.0, 5.0)]
  # Changes (1, 0) and (0, 4).
  added = merged.task(base, models, [1, 1])
  assert _read(added)["x"].tolist() == [2.0, 5.0]
  added = merged.task(base, models, [2, -1], scale=0.5)
  assert _read(added)["x"].tolist() == [2.0, -1.0]


def test_expo_goes_past_the_tuned_model_by_hand(tiny, config):
  base, tuned = _source(tiny, config, 1.0, 4.0), _source(tiny, config, 2.0, 2.0)
  past = merged.extrapolate(base, tuned, 0.5)
  assert _read(past)["x"].tolist() == [2.5, 1.0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_linear_of_one_model_is_itself_to_the_bit(tiny, config, dtype):
  model = _source(tiny, config, -0.0, 1.1, 6e-5, -3.0, dtype=dtype)
  for weight in (1, 0.3, -2):
    same = merged.linear([model], [weight])
    assert _read(same)["x"].tobytes() == model.arrays["x"].tobytes()


def test_a_weight_of_0_leaves_a_model_unread(tiny, config):
  first, second = (_random(tiny, config, seed) for seed in (1, 2))
  found = _read(merged.linear([first, second], [1, 0]))
  assert found["a"].tobytes() == first.arrays["a"].tobytes()
  assert not second.reads


def test_all_weights_0_give_zeros(tiny, config):
  model = _random(tiny, config, 1)
  found = _read(merged.linear([model], [0], normalize=False))
  assert not found["a"].any() and found["a"].shape == (23, 7)


def test_task_of_one_model_in_full_is_that_model(tiny, config):
  base, tuned = (_random(tiny, config, seed) for seed in (1, 2))
  found = _read(merged.task(base, [tuned], [1]))
  np.testing.assert_allclose(found["a"], tuned.arrays["a"], atol=3e-7)


def test_task_leaves_what_no_model_changed_to_the_bit(tiny, config):
  base = _random(tiny, config, 1)
  found = _read(merged.task(base, [base, base], [0.3, 0.6], scale=0.7))
  assert found["a"].tobytes() == base.arrays["a"].tobytes()


def test_expo_of_0_is_the_tuned_model(tiny, config):
  base, tuned = (_random(tiny, config, seed) for seed in (1, 2))
  found = _read(merged.extrapolate(base, tuned, 0))
  np.testing.assert_array_equal(found["a"], tuned.arrays["a"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("block_bytes", [64, 2**20])
def test_all_agree_with_whole_arrays_in_float64(
  tiny, config, dtype, block_bytes, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
  base, *models = (_random(tiny, config, seed, dtype) for seed in range(4))
  weights = [0.2, -0.5, 1.1]
  made = {
    "linear": merged.linear(models, weights),
    "task": merged.task(base, models, weights, scale=0.8),
    "expo": merged.extrapolate(base, models[0], 0.4),
  }
  bound = {"float32": 1e-6, "bfloat16": 2**-8, "float16": 2**-11}[dtype]
  for name in base.specs:
    b, *thetas = (s.arrays[name].astype(float) for s in (base, *models))
    total = sum(w * x for w, x in zip(weights, thetas, strict=True))
    expected = {
      "linear": total / sum(weights),
      "task": b + 0.8 * (total - sum(weights) * b),
      "expo": 1.4 * thetas[0] - 0.4 * b,
    }
    for method, source in made.items():
      found = _read(source)[name]
      assert found.dtype == np.dtype(dtype)
      np.testing.assert_allclose(
        found.astype(float),
        expected[method],
        rtol=bound,
        atol=1e-6,
        err_msg=method,
      )


def test_the_sum_is_rounded_once(tiny, config):
  # 256 has no odd neighbour in bfloat16; rounding each term would lose both.
  models = [
    _source(tiny, config, x, dtype="bfloat16") for x in (256.0, 1.0, 1.0)
  ]
  found = merged.linear(models, [1, 1, 1], normalize=False)
  assert _read(found)["x"].astype(float).tolist() == [258.0]


def test_the_dtype_is_the_first_models_or_as_asked(tiny, config):
  first = _source(tiny, config, 1.0, dtype="bfloat16")
  second = _source(tiny, config, 2.0, dtype="float32")
  kept = merged.linear([first, second], [1, 1])
  assert kept.specs == {"x": TensorSpec((1,), "bfloat16")}
  asked = merged.linear([first, second], [1, 1], dtype="float16")
  assert asked.specs == {"x": TensorSpec((1,), "float16")}
  assert asked.rows("x", 0, 1).dtype == np.float16


def test_an_overflow_becomes_infinite_for_copy_to_refuse(tiny, config):
  model = _source(tiny, config, 60_000.0, dtype="float16")
  twice = merged.linear([model], [2], normalize=False)
  assert np.isinf(twice.rows("x", 0, 1)).all()
  zero = merged.extrapolate(_source(tiny, config, 1e38), twice, 1e38)
  assert not np.isfinite(zero.rows("x", 0, 1)).any()
  with pytest.raises(TensorError, match="infinite"):
    tensors.copy(twice, mock.Mock())


@pytest.mark.parametrize("weights", [[1, -1], [0, 0], [0.1, -0.1000000001]])
def test_weights_that_cancel_cannot_be_normalised(tiny, config, weights):
  model = _source(tiny, config, 1.0)
  with pytest.raises(ValueError, match="so they cannot be divided"):
    merged.linear([model, model], weights)


def test_nothing_reads_more_than_a_block(tiny, config, monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 64)
  sources = [_random(tiny, config, seed) for seed in range(3)]
  base, *models = sources
  _read(merged.linear(models, [1, 1]))
  _read(merged.task(base, models, [1, 1]))
  _read(merged.extrapolate(base, models[0], 0.1))
  for source in sources:
    assert source.reads
    for name, start, stop in source.reads:
      assert stop - start <= tensors.block_rows(source.specs[name])
