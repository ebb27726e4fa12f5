# SPDX-License-Identifier: Apache-2.0
"""Files that the safetensors library wrote are read; forged ones are not."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors import numpy as safetensors_numpy

from ramjax.models.safetensors_file import SafetensorsFile
from ramjax.models.tensors import TensorError, TensorSpec

_VALUES = {
  "w": np.arange(12, dtype=np.float32).reshape(4, 3),
  "v": np.asarray([1.5, -2.0], np.float16),
}


def _forge(path, header, data=b"", length=None):
  header = header if isinstance(header, bytes) else json.dumps(header).encode()
  length = len(header) if length is None else length
  path.write_bytes(length.to_bytes(8, "little") + header + data)
  return path


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "model.safetensors"
  safetensors_numpy.save_file(_VALUES, path, metadata={"format": "pt"})
  return path


def test_a_file_of_the_library_reads_alike(path):
  with SafetensorsFile(path) as file:
    assert file.path == path and file.metadata == {"format": "pt"}
    assert dict(file.tensors) == {
      "w": TensorSpec((4, 3), "float32"),
      "v": TensorSpec((2,), "float16"),
    }
    for name, value in _VALUES.items():
      np.testing.assert_array_equal(file.rows(name, 0, len(value)), value)
    np.testing.assert_array_equal(file.rows("w", 1, 3), _VALUES["w"][1:3])
    assert file.rows("w", 2, 2).shape == (0, 3)


def test_rows_are_a_read_only_view_of_the_mapped_file(path):
  with SafetensorsFile(path) as file:
    rows = file.rows("w", 0, 4)
  assert type(rows) is np.ndarray and not rows.flags.owndata
  assert not rows.flags.writeable
  # They outlive the reader.
  assert rows.sum() == 66


def test_bfloat16_and_unaligned_data_are_read(tmp_path):
  bf16 = np.asarray([1.5, -3.0, 0.25], ml_dtypes.bfloat16)
  header = {
    "b": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
    "f": {"dtype": "F32", "shape": [1], "data_offsets": [6, 10]},
  }
  data = bf16.tobytes() + np.float32(7).tobytes()
  # An odd header makes every address odd.
  for pad in (b"", b" "):
    raw = json.dumps(header).encode() + pad
    with SafetensorsFile(_forge(tmp_path / "f", raw, data)) as file:
      assert file.rows("b", 0, 3).dtype == ml_dtypes.bfloat16
      assert file.rows("b", 0, 3).tolist() == [1.5, -3.0, 0.25]
      for rows in (file.rows("b", 1, 3), file.rows("f", 0, 1)):
        assert rows.flags.aligned and not rows.flags.writeable
      assert file.rows("f", 0, 1).tolist() == [7.0]


@pytest.mark.parametrize(
  ("name", "start", "stop"),
  [("w", 0, 5), ("w", -1, 2), ("w", 3, 2), ("x", 0, 1)],
)
def test_rows_that_do_not_exist_are_refused(path, name, start, stop):
  with SafetensorsFile(path) as file, pytest.raises(TensorError, match=name):
    file.rows(name, start, stop)


def test_a_scalar_has_no_rows(tmp_path):
  header = {"s": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}
  with SafetensorsFile(_forge(tmp_path / "f", header, b"\0" * 4)) as file:
    assert file.tensors["s"].shape == ()
    with pytest.raises(TensorError, match=r"'s' of shape=\(\) has no rows"):
      file.rows("s", 0, 1)


def test_a_closed_reader_refuses(path):
  file = SafetensorsFile(path)
  file.close()
  with pytest.raises(TensorError, match="was closed"):
    file.rows("w", 0, 1)


@pytest.mark.parametrize("cut", [0, 7, 8, 20, -1])
def test_a_truncated_file_is_refused(path, cut):
  path.write_bytes(path.read_bytes()[:cut])
  with pytest.raises(TensorError, match=r"model\.safetensors"):
    SafetensorsFile(path)


def test_a_file_truncated_after_opening_is_refused_not_fatal(path):
  with SafetensorsFile(path) as file:
    os.truncate(path, 100)
    with pytest.raises(TensorError, match="changed after it was opened"):
      file.rows("w", 0, 4)


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 2**23 + 1])
def test_a_header_bomb_is_refused_before_it_is_read(tmp_path, length):
  # Sparse: it takes no room.
  path = _forge(tmp_path / "f", b"{}", length=length)
  os.truncate(path, 2**24)
  with pytest.raises(TensorError, match="header"):
    SafetensorsFile(path)


def test_trailing_bytes_are_refused(path):
  path.write_bytes(path.read_bytes() + b"\0")
  with pytest.raises(TensorError, match="too long"):
    SafetensorsFile(path)


def test_what_the_library_refuses_is_refused(path, monkeypatch):
  def refuse(*_, **__):
    raise safetensors.SafetensorError("for some reason")

  monkeypatch.setattr(safetensors, "safe_open", refuse)
  with pytest.raises(TensorError, match="library: for some reason"):
    SafetensorsFile(path)


def test_what_is_no_regular_file_is_refused(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  for path in (tmp_path / "pipe", tmp_path):
    with pytest.raises(TensorError, match=r"regular file|folder"):
      SafetensorsFile(path)


def test_a_missing_file_is_not_found(tmp_path):
  with pytest.raises(FileNotFoundError):
    SafetensorsFile(tmp_path / "f")
