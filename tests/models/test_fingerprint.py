# SPDX-License-Identifier: Apache-2.0
"""A fingerprint notices another model, and nothing else."""

import dataclasses

import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder

from ramjax.models import tensors
from ramjax.models.fingerprint import fingerprint
from ramjax.models.open_model import open_model

CONFIG = tiny_adapters.CONFIG


@pytest.fixture
def model():
  return tiny_adapters.base_source(CONFIG)


def test_same_weights_have_the_same_in_every_kind_of_folder(tmp_path):
  tiny_model_folder.write(tmp_path / "hf", seed=4)
  tiny_model_folder.write(tmp_path / "run", seed=4, as_run=True)
  found = fingerprint(open_model(tmp_path / "hf"))
  assert found == fingerprint(open_model(tmp_path / "run"))
  assert len(found) == 64


def test_how_it_is_computed_does_not_count(model):
  before = fingerprint(model)
  model.config = dataclasses.replace(CONFIG, dtype="bfloat16", remat="full")
  assert fingerprint(model) == before


@pytest.mark.parametrize(
  "name,where",
  [
    ("model.norm.weight", 31),
    ("model.layers.1.input_layernorm.weight", 0),
    ("model.embed_tokens.weight", (36, 3)),
    ("lm_head.weight", (36, 31)),
    ("model.layers.0.mlp.up_proj.weight", (24, 0)),
    ("model.layers.2.self_attn.k_proj.weight", (16, 7)),
  ],
)
def test_one_of_the_values_it_reads_changes_it(model, name, where):
  before = fingerprint(model)
  model.arrays[name][where] += 1e-3
  assert fingerprint(model) != before


def test_shape_seed_and_dtype_change_it(model):
  found = {
    fingerprint(model),
    fingerprint(tiny_adapters.base_source(CONFIG, seed=1)),
    fingerprint(tensors.Cast(model, "bfloat16")),
  }
  model.config = dataclasses.replace(CONFIG, rope_theta=5e5)
  assert len(found | {fingerprint(model)}) == 4


def test_it_reads_little(tiny):
  model = tiny_adapters.base_source(CONFIG)
  counted = tiny.ArraySource(CONFIG, model.arrays)
  assert fingerprint(counted) == fingerprint(model)
  assert all(
    stop - start == 1 or counted.specs[name].shape == (stop - start,)
    for name, start, stop in counted.reads
  )
  assert not any("layers.1.mlp" in name for name, *_ in counted.reads)
  assert np.sum([x.nbytes for x in model.arrays.values()]) > (
    10 * counted.num_bytes_read
  )
