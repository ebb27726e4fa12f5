# SPDX-License-Identifier: Apache-2.0
"""An index names files of its own folder, each tensor once."""

import json

import pytest

from ramjax.models import shard_index
from ramjax.models.tensors import TensorError


def _index(directory, weight_map, **others):
  text = json.dumps({"weight_map": weight_map} | others)
  (directory / "model.safetensors.index.json").write_text(text)


def test_an_index_is_read_as_the_tensors_of_each_shard(tmp_path):
  _index(
    tmp_path,
    {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"},
    metadata={"total_size": 1.5},
  )
  assert shard_index.read(tmp_path) == {
    "1.safetensors": {"a", "c"},
    "2.safetensors": {"b"},
  }


def test_a_single_file_needs_no_index(tmp_path):
  (tmp_path / "model.safetensors").touch()
  assert shard_index.read(tmp_path) == {"model.safetensors": None}


@pytest.mark.parametrize(
  "shard",
  [
    "../1.safetensors",
    "/etc/1.safetensors",
    "a/1.safetensors",
    "a\\1.safetensors",
    "1.safetensors\n",
    "1.safetensors\0",
    ".safetensors/..",
    "1.bin",
    "",
  ],
)
def test_path_traversal_in_shard_names_is_refused(tmp_path, shard):
  _index(tmp_path, {"a": shard})
  with pytest.raises(TensorError, match=r"tensor 'a' into .* is refused"):
    shard_index.read(tmp_path)


@pytest.mark.parametrize(
  "weight_map", [{}, [], None, {"a": 1}, {"a": None}, {"a": ["1.safetensors"]}]
)
def test_a_map_of_other_things_is_refused(tmp_path, weight_map):
  _index(tmp_path, weight_map)
  with pytest.raises(TensorError, match="weight_map must be"):
    shard_index.read(tmp_path)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}',
      "stands twice",
    ),
    ('{"metadata":{"total_size":NaN},"weight_map":{}}', "NaN"),
    ("[]", "JSON list"),
    ("{", "not valid JSON"),
  ],
)
def test_what_is_not_strict_json_is_refused(tmp_path, text, message):
  (tmp_path / shard_index.FILE_NAME).write_text(text)
  with pytest.raises(TensorError, match=rf"index\.json .*{message}"):
    shard_index.read(tmp_path)


def test_an_index_above_its_limit_is_refused(tmp_path):
  with open(tmp_path / shard_index.FILE_NAME, "wb") as file:
    file.truncate(16 * 2**20 + 1)
  with pytest.raises(TensorError, match="larger than the 16,777,216 bytes"):
    shard_index.read(tmp_path)


def test_too_many_shards_are_refused(tmp_path):
  _index(tmp_path, {f"t{i}": f"{i}.safetensors" for i in range(4097)})
  with pytest.raises(TensorError, match="4,097 shards; at most 4,096"):
    shard_index.read(tmp_path)


def test_a_single_file_beside_an_index_is_refused(tmp_path):
  (tmp_path / "model.safetensors").touch()
  _index(tmp_path, {"a": "1.safetensors"})
  with pytest.raises(
    TensorError,
    match=r"both model\.safetensors and model\.safetensors\.index\.json",
  ):
    shard_index.read(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickle_files_alone_are_refused_with_advice(tmp_path, name):
  (tmp_path / name).touch()
  with pytest.raises(
    TensorError, match=f"{name} .*by default they are never read: convert"
  ):
    shard_index.read(tmp_path)


def test_a_folder_without_a_model_is_not_found(tmp_path):
  for path in (tmp_path, tmp_path / "nothing"):
    with pytest.raises(FileNotFoundError):
      shard_index.read(path)


def test_an_index_that_links_out_of_the_folder_is_refused(tmp_path):
  _index(tmp_path, {"a": "1.safetensors"})
  (tmp_path / "model").mkdir()
  (tmp_path / "model" / shard_index.FILE_NAME).symlink_to(
    tmp_path / shard_index.FILE_NAME
  )
  with pytest.raises(ValueError, match="outside its folder"):
    shard_index.read(tmp_path / "model")


def test_a_written_index_is_sorted_and_reads_back(tmp_path):
  shard_index.write(
    tmp_path, {"b": "1.safetensors", "a": "2.safetensors"}, total_bytes=9
  )
  text = (tmp_path / "model.safetensors.index.json").read_text()
  assert text == (
    '{\n  "metadata": {\n    "total_size": 9\n  },\n  "weight_map": {\n'
    '    "a": "2.safetensors",\n    "b": "1.safetensors"\n  }\n}\n'
  )
  assert set(shard_index.read(tmp_path)) == {"1.safetensors", "2.safetensors"}
