# SPDX-License-Identifier: Apache-2.0
"""The header of a safetensors file: what tensors it has, and where.

A file is 8 bytes with the header's length, the header (JSON), and the tensors'
bytes one after another. https://github.com/huggingface/safetensors#format

Everything in a header is a claim by whoever made the file, so all of it is
checked before a byte of a tensor is read.
"""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ramjax.models import strict_json, tensors
from ramjax.models.tensors import TensorError, TensorSpec

# The headers of released models are far below 1 MiB: a shard has some hundreds
# of tensors, and each takes about 120 bytes.
MAX_HEADER_BYTES = 8 * 2**20
MAX_TENSORS = 65_536
MAX_NAME_CHARS = 256
MAX_RANK = 8
# More than any disk holds; twice as much still fits in 64 bits.
_MAX_BYTES = 2**60

# Spelling in the header: in NumPy. Integers and booleans are no weights, but a
# file that has some is best refused by those who know what they want instead.
_DTYPES = {
  "F64": "float64",
  "F32": "float32",
  "F16": "float16",
  "BF16": "bfloat16",
  "I64": "int64",
  "I32": "int32",
  "I16": "int16",
  "I8": "int8",
  "U64": "uint64",
  "U32": "uint32",
  "U16": "uint16",
  "U8": "uint8",
  "BOOL": "bool",
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_METADATA = "__metadata__"


class Header(NamedTuple):
  """What a header says.

  Attributes:
    tensors: Every tensor, in the order of its bytes.
    starts: Where each one's bytes start, counted from the header's end.
    metadata: The free text that goes with them.
    data_bytes: Bytes of all tensors together.
  """

  tensors: dict[str, TensorSpec]
  starts: dict[str, int]
  metadata: dict[str, str]
  data_bytes: int


def decode(data: bytes, *, path: str | pathlib.Path, data_bytes: int) -> Header:
  """Reads and checks a header.

  Args:
    data: The header alone, without its length.
    path: Its file, for messages.
    data_bytes: Bytes of the file behind the header.

  Returns:
    The header: its tensors cover the `data_bytes` without hole or overlap.

  Raises:
    TensorError: It breaks a rule of the format or exceeds a limit.
  """
  check_length(len(data), path=path)
  # A tensor's entry is an object, so braces bound the tensors before the parse.
  # Those in strings count too: no file of a model has anywhere near as many.
  if data.count(b"{") > MAX_TENSORS + 2:
    raise TensorError(
      f"{path}: its header has {data.count(b'{'):,} opening braces; at most"
      f" {MAX_TENSORS:,} tensors are read from a file."
    )
  if not data.startswith(b"{"):
    raise TensorError(
      f"{path} is not a safetensors file: its header begins with"
      f" {data[:1]!r}, not with a brace."
    )
  try:
    entries = strict_json.parse_object(data, what=f"{path}: its header")
  except ValueError as error:
    raise TensorError(str(error)) from error
  metadata = _metadata(path, entries.pop(_METADATA, {}))
  found = []
  for name, entry in entries.items():
    _check_name(path, name)
    spec, start, stop = _entry(f"{path}: tensor {name!r}", entry)
    found.append((start, stop, name, spec))
  # Tensors without any bytes may share a start; they come first.
  found.sort(key=lambda item: item[:2])
  end = 0
  for start, stop, name, _ in found:
    if start != end:
      what = "overlaps the tensor before it" if start < end else "leaves a hole"
      raise TensorError(
        f"{path}: tensor {name!r} {what}: its bytes start at {start}, but the"
        f" ones before end at {end}. The file is damaged or forged."
      )
    end = stop
  if end != data_bytes:
    what = "too short" if end > data_bytes else "too long"
    raise TensorError(
      f"{path} is {what}: its tensors take {end:,} bytes, but {data_bytes:,}"
      " follow the header. Is the download complete?"
    )
  return Header(
    tensors={name: spec for _, _, name, spec in found},
    starts={name: start for start, _, name, _ in found},
    metadata=metadata,
    data_bytes=end,
  )


def check_length(length: int, *, path: str | pathlib.Path) -> None:
  """Refuses a header's length before anything that long is read."""
  if not 2 <= length <= MAX_HEADER_BYTES:
    raise TensorError(
      f"{path} is not a safetensors file that can be read: its header claims"
      f" {length:,} bytes; allowed are 2 to {MAX_HEADER_BYTES:,}."
    )


def _metadata(path: str | pathlib.Path, metadata: Any) -> dict[str, str]:
  if not isinstance(metadata, dict) or not all(
    isinstance(value, str) for value in metadata.values()
  ):
    raise TensorError(
      f"{path}: its {_METADATA} must be an object of strings alone."
    )
  return metadata


def _check_name(path: str | pathlib.Path, name: str) -> None:
  if not (name.isprintable() and 1 <= len(name) <= MAX_NAME_CHARS):
    raise TensorError(
      f"{path}: tensor {name[:80]!a} has a name of {len(name)} characters; it"
      f" must have 1 to {MAX_NAME_CHARS}, all printable."
    )


def _entry(what: str, entry: Any) -> tuple[TensorSpec, int, int]:
  """The tensor that an entry describes, and where its bytes start and stop."""
  if not isinstance(entry, dict) or set(entry) != {
    "dtype",
    "shape",
    "data_offsets",
  }:
    raise TensorError(
      f"{what} must be an object of dtype, shape and data_offsets."
    )
  code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
  if not isinstance(code, str) or code not in _DTYPES:
    raise TensorError(
      f"{what} has dtype={str(code)[:40]!a}; allowed are"
      f" {', '.join(_DTYPES)}. If the model is quantized, convert it to BF16"
      " first."
    )
  # The product of the others is bounded even where one size is 0: NumPy
  # multiplies them in 64 bits.
  if (
    not _are_sizes(shape)
    or len(shape) > MAX_RANK
    or math.prod(size or 1 for size in shape) > _MAX_BYTES
  ):
    raise TensorError(
      f"{what} has shape={str(shape)[:80]}; it must be a list of at most"
      f" {MAX_RANK} whole numbers >= 0 whose product fits in memory."
    )
  if not _are_sizes(offsets) or len(offsets) != 2:
    raise TensorError(
      f"{what} has data_offsets={str(offsets)[:80]}; they must be two whole"
      " numbers >= 0."
    )
  spec = TensorSpec(tuple(shape), _DTYPES[code])
  size = tensors.num_bytes(spec)
  start, stop = offsets
  if stop - start != size:
    raise TensorError(
      f"{what} has {stop - start:,} bytes, but shape={list(spec.shape)} of"
      f" {spec.dtype} takes {size:,}."
    )
  return spec, start, stop


def _are_sizes(value: Any) -> bool:
  """Whether `value` is a list of ints (and no bools) from 0 on."""
  return isinstance(value, list) and all(
    type(size) is int and 0 <= size <= _MAX_BYTES for size in value
  )


def encode(
  specs: Mapping[str, TensorSpec],
  metadata: Mapping[str, str],
  *,
  path: str | pathlib.Path,
) -> bytes:
  """Writes a header, with its length before it.

  Args:
    specs: The tensors, in the order in which their bytes will follow.
    metadata: Free text to go with them.
    path: The file, for messages.

  Returns:
    The bytes: a multiple of 8, so that the tensors' bytes are aligned.

  Raises:
    TensorError: A tensor that cannot be stored, or more than can be read back.
  """
  entries: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
  start = 0
  for name, spec in specs.items():
    _check_name(path, name)
    if spec.dtype not in _CODES or not spec.shape or 0 in spec.shape:
      raise TensorError(
        f"{path}: tensor {name!r} has shape={spec.shape} and"
        f" dtype={spec.dtype!r}; it must have values, of a dtype among"
        f" {', '.join(_CODES)}."
      )
    stop = start + tensors.num_bytes(spec)
    entries[name] = {
      "dtype": _CODES[spec.dtype],
      "shape": list(spec.shape),
      "data_offsets": [start, stop],
    }
    start = stop
  header = json.dumps(
    entries, ensure_ascii=False, separators=(",", ":")
  ).encode()
  header += b" " * (-len(header) % 8)
  # What is written must be readable: one set of rules, not two.
  decode(header, path=path, data_bytes=start)
  return len(header).to_bytes(8, "little") + header
