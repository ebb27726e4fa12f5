# SPDX-License-Identifier: Apache-2.0
"""Base plus delta is the tuned model, to the last bit."""

import numpy as np
import pytest

from ramjax.models import delta, model_digest, tensors
from ramjax.models.tensors import TensorError, TensorSpec


class _Held:
  """A delta in memory, with what `DeltaFolder` adds to it."""

  def __init__(self, made, chosen):
    self.config = made.config
    self.specs = made.specs
    self.result_dtypes = chosen.result_dtypes
    self.rows = made.rows
    self.exceptions = made.exceptions


def _pair(tiny, config, dtype, seed=0):
  """A base and a tuned model: small steps, and the odd elements."""
  rng = np.random.default_rng(seed)
  base = {
    "a": rng.standard_normal((40, 30)),
    "b": rng.standard_normal((33, 8)) * 0.02,
    "c": rng.standard_normal(64),
  }
  tuned = {n: x + 1e-3 * rng.standard_normal(x.shape) for n, x in base.items()}
  tuned["b"][:, :] = -base["b"] * 1.37  # All signs change.
  tuned["c"][3], base["c"][3] = -0.0, 0.7
  tuned["c"][4], base["c"][4] = 2.0**-14, 300.0
  tuned["c"][5], base["c"][5] = -0.0, -0.0
  tuned["a"][39, 29], base["a"][39, 29] = -0.0, 1.0
  tuned["a"][0, 0], base["a"][0, 0] = -0.0, 1.0
  return (
    tiny.ArraySource(config, {n: x.astype(dtype) for n, x in state.items()})
    for state in (base, tuned)
  )


@pytest.mark.parametrize("block_bytes", [300, 2**20])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_was_subtracted_adds_up_again(
  tiny, config, dtype, block_bytes, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
  base, tuned = _pair(tiny, config, dtype)
  chosen = delta.plan(base, tuned)
  assert chosen.base == model_digest.digest(base)
  assert chosen.result == model_digest.digest(tuned)
  assert chosen.exceptions["c"] >= 1
  made = delta.Delta(base, tuned, chosen)
  applied = delta.Applied(base, _Held(made, chosen))
  assert dict(applied.specs) == tuned.specs
  for name, spec in applied.specs.items():
    rows = [applied.rows(name, *at) for at in tensors.blocks(spec)]
    assert np.concatenate(rows).tobytes() == tuned.arrays[name].tobytes()
  assert model_digest.digest(applied) == chosen.result


def test_the_smallest_dtype_that_leads_back_is_chosen(tiny, config):
  base, tuned = _pair(tiny, config, "bfloat16")
  # Small steps: few elements change by more than what they become. All of "b"
  # do, by 2.37 times, which takes more than 8 bits.
  assert delta.plan(base, tuned).dtypes == {
    "a": "bfloat16",
    "b": "float32",
    "c": "bfloat16",
  }


def test_a_model_of_another_dtype_than_its_base_comes_back(tiny, config):
  base, _ = _pair(tiny, config, "float32")
  _, tuned = _pair(tiny, config, "bfloat16")
  chosen = delta.plan(base, tuned)
  made = delta.Delta(base, tuned, chosen)
  applied = delta.Applied(base, _Held(made, chosen))
  assert model_digest.digest(applied) == model_digest.digest(tuned)


def test_exceptions_are_listed_in_order_and_have_a_difference_of_0(
  tiny, config, monkeypatch
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1000)
  base, tuned = _pair(tiny, config, "float32")
  chosen = delta.plan(base, tuned)
  made = delta.Delta(base, tuned, chosen)
  places, values = made.exceptions("a")
  assert chosen.exceptions["a"] == len(places) >= 2
  assert places[0] == 0 and places[-1] == 40 * 30 - 1
  assert np.all(np.diff(places) > 0)
  assert values.tobytes() == tuned.arrays["a"].ravel()[places].tobytes()
  rows = made.rows("a", 0, 40)
  assert not rows.ravel()[places].any()


def test_nothing_reads_more_than_a_block(tiny, config, monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 960)
  base, tuned = _pair(tiny, config, "float32")
  chosen = delta.plan(base, tuned)
  made = delta.Delta(base, tuned, chosen)
  model_digest.digest(delta.Applied(base, _Held(made, chosen)))
  most = {n: tensors.block_rows(s) for n, s in base.specs.items()}
  for source in (base, tuned):
    for name, start, stop in source.reads:
      assert stop - start <= most[name]


def test_a_tensor_that_differences_cannot_hold_is_refused(tiny, config):
  base = tiny.ArraySource(config, {"x": np.ones((10, 10), np.float32)})
  tuned = tiny.ArraySource(config, {"x": np.full((10, 10), -0.0, np.float32)})
  with pytest.raises(TensorError, match="'x': over 16 of its 100 elements"):
    delta.plan(base, tuned)


def test_sixteen_exceptions_always_pass(tiny, config):
  base = tiny.ArraySource(config, {"x": np.ones(16, np.float32)})
  tuned = tiny.ArraySource(config, {"x": np.full(16, -0.0, np.float32)})
  chosen = delta.plan(base, tuned)
  assert chosen.exceptions == {"x": 16}
  assert chosen.dtypes == {"x": "float32"}


@pytest.mark.parametrize("damaged", ["base", "tuned"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tiny, config, damaged, value):
  arrays = {n: {"x": np.ones(4, np.float32)} for n in ("base", "tuned")}
  arrays[damaged]["x"][2] = value
  models = {n: tiny.ArraySource(config, a) for n, a in arrays.items()}
  with pytest.raises(TensorError, match=f"'x' of the {damaged} model has NaN"):
    delta.plan(models["base"], models["tuned"])


def test_progress_counts_the_tuned_model(tiny, config):
  base, tuned = _pair(tiny, config, "float16")
  counted = []
  delta.plan(base, tuned, on_bytes=counted.append)
  assert sum(counted) == 2 * (40 * 30 + 33 * 8 + 64)
  assert tuned.specs["c"] == TensorSpec((64,), "float16")
