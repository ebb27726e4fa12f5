# SPDX-License-Identifier: Apache-2.0
"""A header is believed only after every claim in it was checked."""

import json

import pytest

from ramjax.models import safetensors_header
from ramjax.models.tensors import TensorError, TensorSpec


def _entry(start, stop, shape=None, dtype="F32"):
  shape = [(stop - start) // 4] if shape is None else shape
  return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def _decode(entries, data_bytes):
  data = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
  return safetensors_header.decode(data, path="f.st", data_bytes=data_bytes)


def test_tensors_come_in_the_order_of_their_bytes():
  header = _decode(
    {
      "b": _entry(8, 16, [2, 2], "BF16"),
      "a": _entry(0, 8),
      "__metadata__": {"format": "pt"},
    },
    16,
  )
  assert list(header.tensors.items()) == [
    ("a", TensorSpec((2,), "float32")),
    ("b", TensorSpec((2, 2), "bfloat16")),
  ]
  assert header.starts == {"a": 0, "b": 8}
  assert header.metadata == {"format": "pt"}


def test_scalars_and_empty_tensors_are_listed():
  header = _decode(
    {"s": _entry(0, 4, []), "e": _entry(0, 0, [0, 3]), "t": _entry(4, 8)}, 8
  )
  assert list(header.tensors) == ["e", "s", "t"]


def test_overlapping_tensors_are_refused():
  with pytest.raises(TensorError, match=r"^f\.st: tensor 'b' overlaps"):
    _decode({"a": _entry(0, 8), "b": _entry(4, 12)}, 12)


def test_two_tensors_on_the_same_bytes_are_refused():
  with pytest.raises(TensorError, match="overlaps"):
    _decode({"a": _entry(0, 8), "b": _entry(0, 8)}, 8)


def test_a_hole_between_tensors_is_refused():
  with pytest.raises(TensorError, match=r"tensor 'b' leaves a hole.* at 12"):
    _decode({"a": _entry(0, 8), "b": _entry(12, 16)}, 16)


def test_a_hole_before_the_first_tensor_is_refused():
  with pytest.raises(TensorError, match="tensor 'a' leaves a hole"):
    _decode({"a": _entry(4, 8)}, 8)


def test_trailing_bytes_are_refused():
  with pytest.raises(TensorError, match="too long: its tensors take 8"):
    _decode({"a": _entry(0, 8)}, 9)


def test_short_tensors_are_refused():
  with pytest.raises(TensorError, match="too short: its tensors take 8"):
    _decode({"a": _entry(0, 8)}, 7)


def test_wrong_byte_counts_are_refused():
  with pytest.raises(TensorError, match=r"'a' has 8 bytes, but .* takes 12"):
    _decode({"a": _entry(0, 8, [3])}, 8)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"dtype": "F8_E4M3"}, "dtype='F8_E4M3'; allowed .*quantized"),
    ({"dtype": ["F32"]}, "dtype="),
    ({"shape": 2}, "shape=2; it must be a list"),
    ({"shape": [-2]}, r"shape=\[-2\]"),
    ({"shape": [True, 2]}, r"shape=\[True, 2\]"),
    ({"shape": [2.0]}, r"shape=\[2.0\]"),
    ({"shape": [1] * 8 + [2]}, "at most 8"),
    ({"shape": [2**61]}, "shape="),
    ({"shape": [2**40, 2**40, 0]}, "product fits"),
    ({"data_offsets": [8, 0]}, "has -8 bytes"),
    ({"data_offsets": [-8, 0]}, "data_offsets="),
    ({"data_offsets": [0]}, "must be two whole"),
    ({"data_offsets": [0, 2**64]}, "data_offsets="),
    ({"data_offsets": [False, 8]}, "data_offsets="),
    ({"extra": 1}, "must be an object of dtype, shape and data_offsets"),
  ],
)
def test_an_entry_of_other_values_is_refused(changes, message):
  with pytest.raises(TensorError, match=f"tensor 'a' .*{message}"):
    _decode({"a": _entry(0, 8) | changes}, 8)


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[0m", "\ud800", "x" * 257])
def test_a_name_that_is_not_printable_or_too_long_is_refused(name):
  with pytest.raises(TensorError, match="must have 1 to 256, all printable"):
    _decode({name: _entry(0, 8)}, 8)


@pytest.mark.parametrize("metadata", [["a"], {"a": 1}, {"a": {}}, "text", None])
def test_metadata_other_than_strings_is_refused(metadata):
  with pytest.raises(TensorError, match="object of strings alone"):
    _decode({"__metadata__": metadata}, 0)


def test_duplicate_keys_are_refused():
  entry = json.dumps(_entry(0, 8))
  with pytest.raises(TensorError, match="'a' stands twice"):
    _decode(f'{{"a":{entry},"\\u0061":{entry}}}'.encode(), 8)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_nan_literals_are_refused(literal):
  with pytest.raises(TensorError, match=f"{literal} is not a JSON number"):
    _decode(f'{{"__metadata__":{{"a":{literal}}}}}'.encode(), 0)


def test_a_header_that_is_no_object_is_refused():
  for data in (b"[1]", b' {"a":1}', b"\x00\x00", b"{\xff}"):
    with pytest.raises(TensorError, match=r"f\.st"):
      _decode(data, 0)


def test_a_header_of_many_tensors_is_refused_before_it_is_parsed(monkeypatch):
  data = b"{" + b'"a":{},' * 65_538 + b'"b":0}'
  monkeypatch.setattr(safetensors_header.strict_json, "parse_object", None)
  with pytest.raises(TensorError, match=r"65,539 opening braces; .* 65,536"):
    _decode(data, 0)


def test_huge_metadata_is_refused_before_it_is_parsed(monkeypatch):
  data = b'{"__metadata__":{"a":"' + b"x" * 2**23 + b'"}}'
  monkeypatch.setattr(safetensors_header.strict_json, "parse_object", None)
  with pytest.raises(TensorError, match="claims 8,388,633 bytes; allowed"):
    _decode(data, 0)


def test_an_encoded_header_decodes_to_the_same():
  specs = {
    "z": TensorSpec((3, 1), "bfloat16"),
    "é": TensorSpec((2,), "float32"),
  }
  data = safetensors_header.encode(specs, {"a": "b"}, path="f")
  # The library pads with spaces, so that the tensors are aligned.
  assert len(data) % 8 == 0
  length = int.from_bytes(data[:8], "little")
  assert length == len(data) - 8
  header = safetensors_header.decode(data[8:], path="f", data_bytes=14)
  assert list(header.tensors.items()) == list(specs.items())
  assert header.metadata == {"a": "b"} and header.starts == {"z": 0, "é": 6}


@pytest.mark.parametrize(
  ("name", "spec"),
  [
    ("a", TensorSpec((), "float32")),
    ("a", TensorSpec((0,), "float32")),
    ("a", TensorSpec((2,), "complex64")),
    ("__metadata__", TensorSpec((2,), "float32")),
    ("\ud800", TensorSpec((2,), "float32")),
  ],
)
def test_what_could_not_be_read_back_is_not_encoded(name, spec):
  with pytest.raises(TensorError):
    safetensors_header.encode({name: spec}, {}, path="f")
