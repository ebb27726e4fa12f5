# SPDX-License-Identifier: Apache-2.0
"""A delta made and applied is the tuned model; all else is refused."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ramjax.models import hf_names, model_digest, tensors
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_folder import HFFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.models.open_model import open_model
from ramjax.models.run_folder import RunFolder
from ramjax.models.run_writer import RunWriter
from ramjax.models.tensors import TensorSpec
from ramjax.tools import convert

_CONFIG = LlamaConfig(
  vocab_size=17,
  width=8,
  mlp_width=12,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
)
_EMBEDDING = "model.embed_tokens.weight"


class _Arrays:
  """A source of arrays in memory."""

  def __init__(self, config, arrays):
    self.config = config
    self.arrays = arrays
    self.specs = {
      n: TensorSpec(x.shape, x.dtype.name) for n, x in arrays.items()
    }

  def rows(self, name, start, stop):
    return self.arrays[name][start:stop]


def _model(dtype, seed, config=_CONFIG, near=None):
  rng = np.random.default_rng(seed)
  arrays = {}
  for name, shape in hf_names.hf_shapes(config).items():
    values = rng.standard_normal(shape) * 0.02
    if near is not None:
      values = near.arrays[name].astype(float) + 0.05 * values
    arrays[name] = values.astype(dtype)
  return _Arrays(config, arrays)


def _save(source, path, layout="hf"):
  path.mkdir()
  writer = HFWriter if layout == "hf" else RunWriter
  tensors.copy(source, writer(path, source.config, source.specs))
  return path


def _run(*args):
  return convert.main(["delta", *map(str, args)])


@pytest.fixture
def base(tmp_path):
  source = _model("bfloat16", 0)
  _save(source, tmp_path / "base")
  return source


@pytest.fixture
def tuned(base, tmp_path):
  source = _model("bfloat16", 1, near=base)
  source.arrays[_EMBEDDING][3, 1] = -0.0
  path = _save(source, tmp_path / "tuned")
  (path / "tokenizer_config.json").write_text('{"chat_template": "x"}')
  return source


@pytest.fixture
def made(base, tuned, tmp_path):
  assert not _run(
    "make", tmp_path / "base", tmp_path / "tuned", tmp_path / "delta"
  )
  return tmp_path / "delta"


def _assert_is(path: pathlib.Path, source) -> None:
  assert model_digest.digest(open_model(path)) == model_digest.digest(source)


@pytest.mark.parametrize("block_bytes", [100, 2**20])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_made_and_applied_is_the_tuned_model(
  tmp_path, dtype, block_bytes, monkeypatch, capsys
):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", block_bytes)
  base = _model(dtype, 0)
  tuned = _model(dtype, 1, near=base)
  tuned.arrays[_EMBEDDING][3, 1:4] = -0.0, 2.0**-14, -(2.0**15)
  _save(base, tmp_path / "base")
  _save(tuned, tmp_path / "tuned")
  assert not _run(
    "make", tmp_path / "base", tmp_path / "tuned", tmp_path / "delta"
  )
  assert "elements kept as they are" in capsys.readouterr().out
  assert not _run(
    "apply", tmp_path / "base", tmp_path / "delta", tmp_path / "again"
  )
  sha = model_digest.digest(tuned).total
  assert f"(SHA-256 {sha})" in capsys.readouterr().out
  _assert_is(tmp_path / "again", tuned)


def test_the_tokenizer_and_the_origin_travel_along(made, tmp_path, base, tuned):
  assert not _run("apply", tmp_path / "base", made, tmp_path / "again")
  for folder in (made, tmp_path / "again"):
    assert (folder / "tokenizer_config.json").is_file()
  origin = json.loads((tmp_path / "again" / "provenance.json").read_text())
  assert origin["command"] == "convert delta apply"
  assert origin["base_sha256"] == model_digest.digest(base).total
  assert origin["sha256"] == model_digest.digest(tuned).total
  assert origin["of_delta"]["command"] == "convert delta make"
  assert "not a model" in (made / "README.md").read_text()


@pytest.mark.parametrize(
  ("base_layout", "to", "kind"),
  [
    ("hf", None, HFFolder),
    ("ramjax", None, RunFolder),
    ("hf", "ramjax", RunFolder),
    ("ramjax", "hf", HFFolder),
  ],
)
def test_a_base_of_either_kind_serves(
  made, tmp_path, base, tuned, base_layout, to, kind
):
  path = tmp_path / "base"
  if base_layout == "ramjax":
    path = _save(base, tmp_path / "run", "ramjax")
  options = [f"--to={to}"] if to else []
  assert not _run("apply", path, made, tmp_path / "again", *options)
  assert isinstance(open_model(tmp_path / "again"), kind)
  _assert_is(tmp_path / "again", tuned)


def test_another_base_is_refused_before_anything_is_written(
  made, tmp_path, base, capsys
):
  base.arrays["model.norm.weight"][2] += 1
  _save(base, tmp_path / "other")
  assert _run("apply", tmp_path / "other", made, tmp_path / "again") == 1
  message = capsys.readouterr().err
  assert "other is not the base of" in message
  assert "1 of 21 tensors differ, first 'model.norm.weight'" in message
  assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("value", [1.0, np.nan])
def test_a_damaged_delta_leaves_no_target(made, tmp_path, capsys, value):
  path = made / "model.safetensors"
  state = safetensors_numpy.load_file(path)
  state["model.norm.weight"] = state["model.norm.weight"].copy()
  state["model.norm.weight"][0] = value
  safetensors_numpy.save_file(state, path, metadata={"format": "pt"})
  assert _run("apply", tmp_path / "base", made, tmp_path / "again") == 1
  message = capsys.readouterr().err
  assert "is damaged: 1 of 21 tensors" in message
  assert "'model.norm.weight'" in message
  assert {p.name for p in tmp_path.iterdir()} == {"base", "tuned", "delta"}


def test_an_added_token_is_refused_with_advice(base, tmp_path, capsys):
  config = dataclasses.replace(_CONFIG, vocab_size=18)
  _save(_model("bfloat16", 1, config), tmp_path / "alpaca")
  assert (
    _run("make", tmp_path / "base", tmp_path / "alpaca", tmp_path / "delta")
    == 1
  )
  message = capsys.readouterr().err
  assert f"'{_EMBEDDING}' is [17, 8] in" in message
  assert "[18, 8]" in message
  assert "`ramjax convert vocab`" in message
  assert not (tmp_path / "delta").exists()


def test_a_config_that_differs_is_refused_by_field(base, tmp_path, capsys):
  config = dataclasses.replace(_CONFIG, norm_eps=1e-6)
  _save(_model("bfloat16", 1, config), tmp_path / "other")
  assert (
    _run("make", tmp_path / "base", tmp_path / "other", tmp_path / "delta") == 1
  )
  assert "norm_eps is 1e-05 in" in capsys.readouterr().err


def test_a_target_that_exists_is_refused_at_once(
  made, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(model_digest, "digest", None)
  assert _run("apply", tmp_path / "base", made, tmp_path / "tuned") == 1
  assert "tuned exists already" in capsys.readouterr().err


def test_a_folder_that_is_no_delta_is_refused(base, tmp_path, capsys):
  folder = tmp_path / "base"
  assert _run("apply", folder, folder, tmp_path / "again") == 1
  assert "delta.json does not exist" in capsys.readouterr().err


@pytest.mark.peers
def test_transformers_loads_the_delta_as_a_model(made, capsys):
  transformers = pytest.importorskip("transformers")
  model = transformers.AutoModelForCausalLM.from_pretrained(made)
  state = safetensors_numpy.load_file(made / "model.safetensors")
  for name, value in state.items():
    loaded = model.state_dict()[name].float().numpy()
    np.testing.assert_array_equal(loaded, value.astype(np.float32), name)
