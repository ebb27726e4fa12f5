# SPDX-License-Identifier: Apache-2.0
"""A run's adapters on disk, and the base they name."""

import functools
import json
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny_adapters

from ramjax.models import run_adapters, weights
from ramjax.models.merged_lora import MergedLora
from ramjax.models.open_model import open_model
from ramjax.models.tensors import TensorError


@functools.cache
def _adapters():
  """Of every run here, but for the base."""
  config = tiny_adapters.adapted("dora_ranks")
  return tiny_adapters.adapters_of(config, pathlib.Path())


@pytest.fixture
def run(tmp_path):
  """A run of DoRA adapters at step 7, beside its base."""
  adapters = _adapters()._replace(base=tmp_path / "base")
  tiny_adapters.write_base(adapters.base, adapters.config)
  (tmp_path / "run").mkdir()
  run_adapters.save(tmp_path / "run", adapters)
  return tmp_path / "run"


def _same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_adapters_come_back_as_they_were_saved(run):
  loaded = run_adapters.load(run)
  saved = tiny_adapters.adapters_of(loaded.config, run.parent / "base")
  assert loaded._replace(params={}) == saved._replace(params={})
  _same(loaded.params, saved.params)
  assert {str(x.dtype) for x in jax.tree.leaves(loaded.params)} == {"float32"}


def test_step_and_average_are_chosen(run):
  config = weights.load_config(run)
  others = [tiny_adapters.random_adapters(config, seed) for seed in (2, 3)]
  with ocp.StandardCheckpointer() as checkpointer:
    for item, params in zip(("9/params", "9/average"), others, strict=True):
      checkpointer.save(run / "checkpoints" / item, params)
  assert run_adapters.load(run).step == 9
  _same(run_adapters.load(run).params, others[0])
  _same(run_adapters.load(run, average=True).params, others[1])
  first = tiny_adapters.random_adapters(config)
  _same(run_adapters.load(run, step=7).params, first)
  with pytest.raises(FileNotFoundError, match="no checkpoint of step 8"):
    run_adapters.load(run, step=8)
  assert open_model(run, step=7).step == 7  # type: ignore[union-attr]


def test_folder_is_opened_as_the_merged_model(run):
  opened = open_model(run)
  assert isinstance(opened, MergedLora) and opened.step == 7
  config = weights.load_config(run)
  expected = MergedLora(
    tiny_adapters.base_source(config),
    config,
    tiny_adapters.random_adapters(config),
  )
  for name, spec in expected.specs.items():
    np.testing.assert_array_equal(
      opened.rows(name, 0, spec.shape[0]), expected.rows(name, 0, spec.shape[0])
    )


def test_run_on_a_run_is_opened_through_both(run):
  config = tiny_adapters.adapted("lora")
  opened = open_model(run)
  from ramjax.models import fingerprint

  second = tiny_adapters.adapters_of(config, run, seed=5)
  second = second._replace(fingerprint=fingerprint.fingerprint(opened))
  (run.parent / "second").mkdir()
  run_adapters.save(run.parent / "second", second)
  found = open_model(run.parent / "second")
  expected = MergedLora(opened, config, second.params)
  name = "model.layers.2.mlp.down_proj.weight"
  np.testing.assert_array_equal(
    found.rows(name, 0, 32), expected.rows(name, 0, 32)
  )


def test_another_base_is_refused(run):
  base = run.parent / "base"
  for path in base.iterdir():
    path.unlink()
  base.rmdir()
  with pytest.raises(FileNotFoundError, match=r"which does not exist\. Put it"):
    open_model(run)
  tiny_adapters.write_base(base, tiny_adapters.CONFIG, seed=9)
  with pytest.raises(ValueError, match="its fingerprint differs"):
    open_model(run)


def test_array_of_another_shape_is_refused(run):
  text = (run / "model.json").read_text()
  fields = json.loads(text)
  fields["lora"]["modules"][0]["ranks"] = [2, 0, 5]
  (run / "model.json").write_text(json.dumps(fields))
  with pytest.raises(TensorError, match=r"shape \[3, 32, 4\].*\[3, 32, 5\]"):
    run_adapters.load(run)
  fields["lora"]["modules"][0]["name"] = "mlp/up"
  (run / "model.json").write_text(json.dumps(fields))
  with pytest.raises(TensorError, match="layers/mlp/up/lora_a cannot be read"):
    run_adapters.load(run)


@pytest.mark.parametrize(
  "text,message",
  [
    ("{}", "folder=None must be a string"),
    ('{"folder": "x", "fingerprint": 3}', "fingerprint=3 must be a string"),
    ("[]", "must be an object"),
  ],
)
def test_record_that_is_none_is_refused(run, text, message):
  (run / "base.json").write_text(text)
  with pytest.raises(ValueError, match=message):
    run_adapters.load(run)


def test_missing_record_is_refused(run):
  (run / "base.json").unlink()
  with pytest.raises(FileNotFoundError, match="where the base of the adapters"):
    run_adapters.load(run)
