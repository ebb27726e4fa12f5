# SPDX-License-Identifier: Apache-2.0
"""Reads a safetensors file from a stranger, a few rows at a time."""

import os
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from ramjax.models import model_folder, safetensors_header
from ramjax.models.tensors import TensorError, TensorSpec


class SafetensorsFile:
  """A safetensors file whose header has been checked.

  The file is mapped anew for each read and none is kept open in between, so a
  model may have more shards than a process may have open files.

  Attributes:
    path: The file.
    tensors: Every tensor, in the order of its bytes in the file. Their dtypes
      may be integers or bool, and their shapes () or with a 0.
    metadata: Free text that goes with them.
  """

  path: pathlib.Path
  tensors: Mapping[str, TensorSpec]
  metadata: Mapping[str, str]

  def __init__(self, path: str | pathlib.Path):
    """Opens a file.

    Args:
      path: The file. A link is followed: see `model_folder.safe_file`.

    Raises:
      FileNotFoundError: No such file.
      TensorError: Not a regular file, or not a valid safetensors file.
    """
    self.path = pathlib.Path(path)
    self._closed = False
    with self._open() as file:
      self._identity = _identity(file)
      self._data_start, header = _read_header(self.path, file)
    _check_with_library(self.path)
    self.tensors = MappingProxyType(header.tensors)
    self.metadata = MappingProxyType(header.metadata)
    self._starts = header.starts

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor.

    Args:
      name: The tensor.
      start: The first row, counted along the first axis.
      stop: One after the last.

    Returns:
      [stop - start, ...] in the tensor's own dtype, read-only: a view of the
      mapped file, or a copy where the bytes are not aligned for the dtype.

    Raises:
      TensorError: No such tensor or rows, a file that changed since it was
        opened, or a reader that was closed.
      FileNotFoundError: The file was removed since.
    """
    spec = self.tensors.get(name)
    if self._closed or spec is None:
      problem = "was closed" if self._closed else f"has no tensor {name!r}"
      raise TensorError(f"{self.path} {problem}.")
    if not spec.shape or not 0 <= start <= stop <= spec.shape[0]:
      raise TensorError(
        f"{self.path}: tensor {name!r} of shape={spec.shape} has no rows"
        f" start={start} to stop={stop}."
      )
    shape = (stop - start, *spec.shape[1:])
    dtype = np.dtype(spec.dtype)
    row_bytes = int(np.prod(spec.shape[1:], dtype=np.int64)) * dtype.itemsize
    if 0 in shape:
      values = np.empty(shape, dtype)
    else:
      offset = self._data_start + self._starts[name] + start * row_bytes
      data = self._map(name, offset, (stop - start) * row_bytes)
      values = data.view(dtype).reshape(shape)
      # Not everything that takes an array can read it at an odd address.
      values = values if values.flags.aligned else values.copy()
    values.flags.writeable = False
    return values

  def close(self) -> None:
    """Refuses further reads; arrays handed out stay valid."""
    self._closed = True

  def __enter__(self) -> "SafetensorsFile":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def _open(self) -> BinaryIO:
    try:
      return model_folder.open_regular(self.path)
    except ValueError as error:
      raise TensorError(str(error)) from error

  def _map(self, name: str, offset: int, size: int) -> np.ndarray:
    """[size] mapped bytes of the file."""
    with self._open() as file:
      # To touch a page behind the end of a mapped file kills the process.
      if _identity(file) != self._identity:
        raise TensorError(
          f"{self.path} changed after it was opened, so tensor {name!r} is not"
          " read. Start again once nothing writes to it."
        )
      data = np.memmap(file, np.uint8, "r", offset=offset, shape=(size,))
    # A plain array: the subclass would spread to all that is computed from it.
    return data.view(np.ndarray)


def _identity(file: BinaryIO) -> tuple[int, ...]:
  """Which file it is, and which version of it."""
  status = os.fstat(file.fileno())
  return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_header(
  path: pathlib.Path, file: BinaryIO
) -> tuple[int, safetensors_header.Header]:
  """Where the tensors' bytes start, and the checked header."""
  size = os.fstat(file.fileno()).st_size
  prefix = file.read(8)
  if prefix == b"version ":
    raise TensorError(
      f"{path} is a pointer of git-lfs, not the weights: run `git lfs pull` in"
      " its repository."
    )
  length = int.from_bytes(prefix, "little")
  if len(prefix) < 8 or size < 8 + length:
    raise TensorError(
      f"{path} is too short to be a safetensors file: it has {size:,} bytes"
      + (f" and claims a header of {length:,}." if len(prefix) == 8 else ".")
    )
  safetensors_header.check_length(length, path=path)
  header = safetensors_header.decode(
    file.read(length), path=path, data_bytes=size - 8 - length
  )
  return 8 + length, header


def _check_with_library(path: pathlib.Path) -> None:
  """A second opinion: what the common reader refuses, we refuse."""
  import safetensors

  try:
    with safetensors.safe_open(path, framework="np"):
      pass
  except (safetensors.SafetensorError, OSError) as error:
    raise TensorError(
      f"{path} is refused by the safetensors library: {error}"
    ) from error
