# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.random_model."""

import numpy as np
import pytest

from ramjax.models import tensors
from ramjax.models.hf_folder import FLOAT_DTYPES
from ramjax.tools import random_model


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("num_bytes", [2 * 10**7, 6 * 10**9, 10**11])
def test_a_model_has_about_the_size_asked_for(num_bytes, dtype):
  config = random_model.sized_config(num_bytes, dtype)
  found = config.num_parameters * np.dtype(dtype).itemsize
  assert found == pytest.approx(num_bytes, rel=0.1)


def test_6_gb_have_a_parameter_over_1_5_gb():
  config = random_model.sized_config(6 * 10**9, "bfloat16")
  # 49 layers of 2048 x 8192 values of 2 bytes.
  assert config.num_layers == 49
  found = random_model.stacked_bytes(config, "bfloat16")
  assert found == 49 * 2048 * 8192 * 2 > 1.5e9


@pytest.fixture(params=FLOAT_DTYPES)
def model(request):
  config = random_model.sized_config(10**6, request.param)
  return random_model.RandomModel(config, request.param)


def test_values_are_finite_below_2_and_all_over(model):
  for name, spec in model.specs.items():
    rows = model.rows(name, 0, spec.shape[0])
    assert rows.shape == spec.shape and str(rows.dtype) == spec.dtype
    assert tensors.is_finite(rows)
    assert np.abs(rows.astype(np.float64)).max() < 2
  # The last tensor has 1,024 x 256: both signs, and hardly one value twice.
  bits = rows.view(f"u{rows.itemsize}")
  assert 0.45 < np.mean(rows.astype(np.float32) > 0) < 0.55
  assert len(np.unique(bits)) > 20_000


def test_rows_are_the_same_in_any_blocks(model):
  # The norms have 2 or 4 bytes a row, of 8 that are drawn together.
  for name in ("model.norm.weight", "model.layers.0.mlp.up_proj.weight"):
    whole = model.rows(name, 0, model.specs[name].shape[0])
    for start, stop in ((0, 1), (1, 2), (3, 8), (5, 256)):
      part = model.rows(name, start, stop)
      assert part.tobytes() == whole[start:stop].tobytes()


def test_tensors_differ():
  config = random_model.sized_config(10**7, "bfloat16")
  model = random_model.RandomModel(config, "bfloat16")
  first = {model.rows(name, 0, 8).tobytes() for name in model.specs}
  assert len(first) == len(model.specs)
