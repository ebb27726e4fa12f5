# SPDX-License-Identifier: Apache-2.0
"""A folder of shards reads as one model, or is refused with a reason."""

import json
import shutil

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ramjax.models import hf_shards
from ramjax.models.tensors import TensorError, TensorSpec

_VALUES = {
  "b": np.arange(6, dtype=np.float32).reshape(3, 2),  # 24 bytes
  "a": np.arange(4, dtype=np.float32),  # 16 bytes
  "c": np.arange(20, dtype=np.float32).reshape(2, 10),  # 80 bytes
  "d": np.arange(2, dtype=np.float32),  # 8 bytes
}
_SPECS = {k: TensorSpec(v.shape, v.dtype.name) for k, v in _VALUES.items()}
_FIRST = "model-00001-of-00003.safetensors"
_SECOND = "model-00002-of-00003.safetensors"
_THIRD = "model-00003-of-00003.safetensors"
_INDEX = "model.safetensors.index.json"


def _write(directory, shard_bytes=40):
  with hf_shards.ShardWriter(
    directory, _SPECS, shard_bytes=shard_bytes
  ) as writer:
    for name, value in _VALUES.items():
      for start in range(0, len(value), 2):
        writer.append(name, value[start : start + 2])


def _remap(directory, change):
  path = directory / _INDEX
  index = json.loads(path.read_text())
  change(index["weight_map"])
  path.write_text(json.dumps(index))


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / "model"
  path.mkdir()
  _write(path)
  return path


def test_shards_are_filled_in_order_and_named_as_hugging_face_does(folder):
  # 24 + 16 fill the 40 bytes; 80 are a shard of their own.
  assert json.loads((folder / _INDEX).read_text()) == {
    "metadata": {"total_size": 128},
    "weight_map": {"a": _FIRST, "b": _FIRST, "c": _SECOND, "d": _THIRD},
  }
  assert sorted(p.name for p in folder.iterdir()) == [
    _FIRST,
    _SECOND,
    _THIRD,
    _INDEX,
  ]
  np.testing.assert_array_equal(
    safetensors_numpy.load_file(folder / _SECOND)["c"], _VALUES["c"]
  )


@pytest.mark.parametrize("shard_bytes", [1, 40, 1000])
def test_what_is_written_reads_back(tmp_path, shard_bytes):
  _write(tmp_path, shard_bytes)
  assert (tmp_path / "model.safetensors").exists() == (shard_bytes == 1000)
  with hf_shards.ShardReader(tmp_path) as reader:
    assert dict(reader.tensors) == _SPECS
    assert reader.metadata == {"format": "pt"}
    for name, value in _VALUES.items():
      np.testing.assert_array_equal(reader.rows(name, 0, len(value)), value)
    np.testing.assert_array_equal(reader.rows("b", 1, 2), _VALUES["b"][1:2])
    with pytest.raises(TensorError, match="no tensor 'x'"):
      reader.rows("x", 0, 1)
  with pytest.raises(TensorError, match="was closed"):
    reader.rows("b", 0, 1)


@pytest.mark.peers
def test_the_hub_library_names_shards_alike():
  hub = pytest.importorskip("huggingface_hub")
  split = hub.split_state_dict_into_shards_factory(
    _VALUES,
    max_shard_size=40,
    filename_pattern="model{suffix}.safetensors",
    get_storage_size=lambda value: value.nbytes,
  )
  assert set(split.filename_to_tensors) == {_FIRST, _SECOND, _THIRD}


def test_metadata_is_what_all_shards_have_alike(folder):
  safetensors_numpy.save_file(
    {"d": _VALUES["d"]}, folder / _THIRD, metadata={"format": "np", "x": "y"}
  )
  assert not hf_shards.ShardReader(folder).metadata


def test_a_missing_tensor_of_an_index_is_refused(folder):
  _remap(folder, lambda weight_map: weight_map.update(e=_SECOND))
  with pytest.raises(
    TensorError, match=f"'e' into .*{_SECOND}, which does not"
  ):
    hf_shards.ShardReader(folder)


def test_an_unexpected_tensor_of_an_index_is_refused(folder):
  _remap(folder, lambda weight_map: weight_map.pop("a"))
  with pytest.raises(TensorError, match=f"{_FIRST} holds tensor 'a', which"):
    hf_shards.ShardReader(folder)


def test_a_tensor_mapped_to_another_shard_is_refused(folder):
  _remap(folder, lambda weight_map: weight_map.update(a=_SECOND))
  with pytest.raises(
    TensorError, match=f"'a' into .*{_SECOND}|holds tensor 'a'"
  ):
    hf_shards.ShardReader(folder)


def test_a_tensor_in_two_shards_is_refused(folder):
  safetensors_numpy.save_file(
    {name: _VALUES[name] for name in "da"}, folder / _THIRD
  )
  with pytest.raises(
    TensorError, match=f"'a' is in two shards, {_FIRST} and {_THIRD}"
  ):
    hf_shards.ShardReader(folder)


def test_a_missing_shard_is_not_found(folder):
  (folder / _SECOND).unlink()
  with pytest.raises(FileNotFoundError, match=_SECOND):
    hf_shards.ShardReader(folder)


def test_a_damaged_shard_is_refused_by_name(folder):
  (folder / _SECOND).write_bytes((folder / _SECOND).read_bytes()[:-1])
  with pytest.raises(TensorError, match=f"{_SECOND} is too short"):
    hf_shards.ShardReader(folder)


def test_a_shard_that_links_out_of_the_folder_is_refused(folder):
  outside = shutil.move(folder / _SECOND, folder.parent / "secret")
  (folder / _SECOND).symlink_to(outside)
  with pytest.raises(ValueError, match=f"{_SECOND} is a link to .*outside"):
    hf_shards.ShardReader(folder)


def test_the_hub_cache_layout_reads(folder, tmp_path):
  root = tmp_path / "models--org--name"
  (root / "blobs").mkdir(parents=True)
  (root / "snapshots" / "rev").mkdir(parents=True)
  for number, path in enumerate(sorted(folder.iterdir())):
    path.rename(root / "blobs" / f"{number:040x}")
    link = root / "snapshots" / "rev" / path.name
    link.symlink_to(f"../../blobs/{number:040x}")
  with hf_shards.ShardReader(root / "snapshots" / "rev") as reader:
    assert dict(reader.tensors) == _SPECS
    np.testing.assert_array_equal(reader.rows("c", 0, 2), _VALUES["c"])


def test_more_shards_than_open_files_can_be_read(tmp_path, monkeypatch):
  resource = pytest.importorskip("resource")
  specs = {f"t{i}": TensorSpec((1,), "float32") for i in range(200)}
  with hf_shards.ShardWriter(tmp_path, specs, shard_bytes=1) as writer:
    for name in specs:
      writer.append(name, np.zeros(1, np.float32))
  limits = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (150, limits[1]))
  try:
    with hf_shards.ShardReader(tmp_path) as reader:
      total = sum(float(reader.rows(name, 0, 1)[0]) for name in specs)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
  assert total == 0


def test_a_folder_with_a_model_is_not_written_to(folder):
  with pytest.raises(TensorError, match="already holds model-00001"):
    hf_shards.ShardWriter(folder, _SPECS, shard_bytes=40)
  with pytest.raises(FileNotFoundError):
    hf_shards.ShardWriter(folder / "x", _SPECS, shard_bytes=40)


@pytest.mark.parametrize(
  ("specs", "shard_bytes", "message"),
  [
    ({}, 40, "0 tensors"),
    (_SPECS, 0, "shard_bytes=0"),
    (
      {f"t{i}": TensorSpec((1,), "float32") for i in range(4097)},
      1,
      "4,097 shards; at most 4,096",
    ),
  ],
)
def test_a_plan_without_sense_is_refused(tmp_path, specs, shard_bytes, message):
  with pytest.raises(ValueError, match=message):
    hf_shards.ShardWriter(tmp_path, specs, shard_bytes=shard_bytes)


@pytest.mark.parametrize("num_tensors", [0, 1, 2, 3])
def test_an_incomplete_model_is_refused_and_has_no_index(tmp_path, num_tensors):
  writer = hf_shards.ShardWriter(tmp_path, _SPECS, shard_bytes=40)
  for name in list(_SPECS)[:num_tensors]:
    writer.append(name, _VALUES[name])
  with pytest.raises(TensorError, match="is incomplete"):
    writer.close()
  assert not (tmp_path / _INDEX).exists()


def test_the_wrong_order_is_refused(tmp_path):
  with pytest.raises(TensorError, match="after 0 rows of tensor 'b'"):
    with hf_shards.ShardWriter(tmp_path, _SPECS, shard_bytes=40) as writer:
      writer.append("c", _VALUES["c"])
  assert not (tmp_path / _INDEX).exists()
