# SPDX-License-Identifier: Apache-2.0
"""What is written is what the safetensors library reads, byte for byte."""

import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors import numpy as safetensors_numpy

from ramjax.models.safetensors_file import SafetensorsFile
from ramjax.models.safetensors_writer import SafetensorsWriter
from ramjax.models.tensors import TensorError, TensorSpec

_RNG = np.random.default_rng(0)
_VALUES = {
  "b": _RNG.normal(size=(5, 3)).astype(ml_dtypes.bfloat16),
  "f": _RNG.normal(size=(4, 2)).astype(np.float32),
  "a": _RNG.normal(size=(7,)).astype(np.float16),
}
_SPECS = {k: TensorSpec(v.shape, v.dtype.name) for k, v in _VALUES.items()}


@pytest.fixture
def writer(tmp_path):
  writer = SafetensorsWriter(tmp_path / "f.safetensors", _SPECS)
  yield writer
  writer.abandon()


def _write(path, step):
  with SafetensorsWriter(path, _SPECS) as writer:
    for name, value in _VALUES.items():
      for start in range(0, len(value), step):
        writer.append(name, value[start : start + step])


@pytest.mark.parametrize("step", [1, 2, 100])
def test_the_library_finds_the_same_bytes(tmp_path, step):
  path = tmp_path / "f.safetensors"
  _write(path, step)
  found = dict(safetensors.deserialize(path.read_bytes()))
  assert {name: bytes(item["data"]) for name, item in found.items()} == {
    name: value.tobytes() for name, value in _VALUES.items()
  }
  with safetensors.safe_open(path, framework="np") as file:
    assert file.metadata() == {"format": "pt"}
    np.testing.assert_array_equal(file.get_tensor("f"), _VALUES["f"])
  with SafetensorsFile(path) as ours:
    assert list(ours.tensors.items()) == list(_SPECS.items())
    for name, value in _VALUES.items():
      np.testing.assert_array_equal(ours.rows(name, 0, len(value)), value)


def test_a_file_is_the_one_that_the_library_writes(tmp_path):
  values = {"a": _VALUES["f"], "b": _VALUES["f"] + 1}
  with SafetensorsWriter(
    tmp_path / "f", {n: _SPECS["f"] for n in values}, {"format": "pt"}
  ) as writer:
    for name, value in values.items():
      writer.append(name, value)
  assert (tmp_path / "f").read_bytes() == safetensors_numpy.save(
    values, metadata={"format": "pt"}
  )


def test_strided_rows_are_written_as_they_read(tmp_path):
  value = np.arange(6, dtype=np.float32).reshape(2, 3)
  spec = TensorSpec((3, 2), "float32")
  with SafetensorsWriter(tmp_path / "f", {"t": spec}) as writer:
    writer.append("t", value.T)
  with SafetensorsFile(tmp_path / "f") as file:
    np.testing.assert_array_equal(file.rows("t", 0, 3), value.T)


@pytest.mark.parametrize("name", ["f", "x"])
def test_the_wrong_order_is_refused(writer, name):
  with pytest.raises(TensorError, match=f"'{name}' was given, but due is 'b'"):
    writer.append(name, _VALUES["f"])


@pytest.mark.parametrize(
  "rows",
  [
    _VALUES["b"].astype(np.float32),
    _VALUES["b"].view(np.uint16),
    _VALUES["b"][:, :2],
    _VALUES["b"][0],
    np.concatenate([_VALUES["b"]] * 2),
  ],
)
def test_rows_of_another_dtype_or_shape_are_refused(writer, rows):
  with pytest.raises(TensorError, match=r"shape=\(5, 3\) of bfloat16, with 5"):
    writer.append("b", rows)


def test_closing_too_early_is_refused(writer):
  writer.append("b", _VALUES["b"])
  writer.append("f", _VALUES["f"][:3])
  with pytest.raises(
    TensorError, match="after 3 rows of tensor 'f', 2 tensors"
  ):
    writer.close()
  with pytest.raises(TensorError):
    SafetensorsFile(writer.path)


def test_rows_after_the_end_are_refused(tmp_path):
  with SafetensorsWriter(tmp_path / "f", {"f": _SPECS["f"]}) as writer:
    writer.append("f", _VALUES["f"])
    with pytest.raises(TensorError, match="due is none"):
      writer.append("f", _VALUES["f"])


def test_an_exception_leaves_as_itself(tmp_path):
  with pytest.raises(KeyError, match="mine"):
    with SafetensorsWriter(tmp_path / "f", _SPECS):
      raise KeyError("mine")
  with pytest.raises(TensorError):
    SafetensorsFile(tmp_path / "f")


def test_an_existing_file_is_kept(tmp_path):
  (tmp_path / "f").write_text("mine")
  with pytest.raises(FileExistsError):
    SafetensorsWriter(tmp_path / "f", _SPECS)
  assert (tmp_path / "f").read_text() == "mine"
