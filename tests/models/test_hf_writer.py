# SPDX-License-Identifier: Apache-2.0
"""What is written as a Hugging Face folder reads back, to the byte."""

import json

import pytest
from safetensors import numpy as safetensors_numpy

from ramjax.models import tensors
from ramjax.models.hf_folder import HFFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.models.tensors import TensorError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1500)


def _write(folder, source, **options):
  folder.mkdir()
  tensors.copy(source, HFWriter(folder, source.config, source.specs, **options))
  return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_shape_reads_back_to_the_byte(
  tiny, shapes, source_of, tmp_path, dtype
):
  for name in shapes:
    source = source_of(name, dtype)
    folder = HFFolder(_write(tmp_path / name, source))
    assert folder.config == source.config
    assert tiny.read_bytes(folder) == tiny.read_bytes(source)
    assert folder.raw_config["torch_dtype"] == dtype


def test_shards_hold_the_same(tiny, source_of, tmp_path):
  source = source_of("3")
  folder = _write(tmp_path / "model", source, shard_bytes=20_000)
  assert len(list(folder.glob("model-*-of-*.safetensors"))) > 3
  assert tiny.read_bytes(HFFolder(folder)) == tiny.read_bytes(source)


def test_the_library_reads_the_same_values(source_of, tmp_path):
  source = source_of("qwen2")
  folder = _write(tmp_path / "model", source)
  read = safetensors_numpy.load_file(folder / "model.safetensors")
  assert {k: v.tobytes() for k, v in read.items()} == {
    k: v.tobytes() for k, v in source.arrays.items()
  }


def test_dtypes_that_differ_are_stored_and_the_widest_is_named(
  tiny, source_of, tmp_path
):
  source = source_of("3", "bfloat16")
  arrays = source.arrays
  name = "model.norm.weight"
  arrays[name] = arrays[name].astype("float32")
  source = tiny.ArraySource(source.config, arrays)
  folder = _write(tmp_path / "model", source)
  assert tiny.read_bytes(HFFolder(folder)) == tiny.read_bytes(source)
  config = json.loads((folder / "config.json").read_text())
  assert config["torch_dtype"] == "float32"


def test_carried_fields_are_kept(source_of, tmp_path):
  folder = _write(
    tmp_path / "model",
    source_of("3"),
    carried={"eos_token_id": [5, 6], "hidden_size": 1, "auto_map": {}},
  )
  config = json.loads((folder / "config.json").read_text())
  assert config["eos_token_id"] == [5, 6] and config["hidden_size"] == 32
  assert "auto_map" not in config


def test_unfinished_folder_has_no_config(source_of, tmp_path):
  source = source_of("3")
  writer = HFWriter(tmp_path, source.config, source.specs)
  with pytest.raises(TensorError):
    writer.close()
  assert not (tmp_path / "config.json").exists()


def test_shape_without_an_architecture_is_refused_before_any_file(
  tiny, source_of, tmp_path
):
  source = source_of("qwen2")
  config = source.config.__class__(
    **{**vars(source.config), "sliding_window": 4}
  )
  with pytest.raises(ValueError, match="no architecture"):
    HFWriter(tmp_path, config, source.specs)
  assert not list(tmp_path.iterdir())
