# SPDX-License-Identifier: Apache-2.0
"""Writes a safetensors file a few rows at a time, in a stated order."""

import pathlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ramjax.models import safetensors_header
from ramjax.models.tensors import TensorError, TensorSpec

# Without it, the transformers library refuses to load the file.
_METADATA = MappingProxyType({"format": "pt"})


class SafetensorsWriter:
  """A safetensors file that is being written.

  As a context manager it checks on leaving that everything was written, unless
  an exception is on its way: the file is then incomplete, and no reader takes
  it.
  """

  def __init__(
    self,
    path: str | pathlib.Path,
    specs: Mapping[str, TensorSpec],
    metadata: Mapping[str, str] = _METADATA,
  ):
    """Creates the file and writes its header.

    Args:
      path: A file that does not exist yet.
      specs: The tensors, in the order in which they will be written.
      metadata: Free text to go with them.

    Raises:
      TensorError: A tensor that cannot be stored, or too many.
      FileExistsError: The file exists.
    """
    self.path = pathlib.Path(path)
    header = safetensors_header.encode(specs, metadata, path=self.path)
    self._specs = dict(specs)
    self._due = list(specs)[::-1]  # The next one last.
    self._rows_written = 0  # Of the next one.
    self._file = open(self.path, "xb")
    self._file.write(header)

  def append(self, name: str, rows: np.ndarray) -> None:
    """Writes the next rows.

    Args:
      name: The tensor that is due: the next of `specs`.
      rows: [n, ...] its next rows, in its own dtype.

    Raises:
      TensorError: Another tensor is due, or the rows do not belong to this one.
    """
    if not self._due or name != self._due[-1] or self._file.closed:
      due = repr(self._due[-1]) if self._due else "none"
      raise TensorError(
        f"{self.path}: tensor {name!r} was given, but due is {due}. Tensors"
        " are written in the order of specs, each once, before close()."
      )
    spec = self._specs[name]
    left = spec.shape[0] - self._rows_written
    if (
      rows.dtype != np.dtype(spec.dtype)
      or rows.ndim != len(spec.shape)
      or rows.shape[1:] != spec.shape[1:]
      or rows.shape[0] > left
    ):
      raise TensorError(
        f"{self.path}: tensor {name!r} got rows of shape={rows.shape} and"
        f" dtype={rows.dtype}; it is shape={spec.shape} of {spec.dtype}, with"
        f" {left} rows to come."
      )
    # Through uint8, because bfloat16 has no buffer of its own.
    self._file.write(np.ascontiguousarray(rows).view(np.uint8).data)
    self._rows_written += rows.shape[0]
    if self._rows_written == spec.shape[0]:
      self._due.pop()
      self._rows_written = 0

  def close(self) -> None:
    """Finishes the file; whoever makes its folder appear syncs it.

    Raises:
      TensorError: Something was not written.
    """
    if self._file.closed:
      return
    if self._due:
      self._file.close()
      raise TensorError(
        f"{self.path} is incomplete: after {self._rows_written} rows of tensor"
        f" {self._due[-1]!r}, {len(self._due)} tensors are unfinished."
      )
    self._file.close()

  def abandon(self) -> None:
    """Closes an incomplete file as it is."""
    self._file.close()

  def __enter__(self) -> "SafetensorsWriter":
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None:
      self.close()
    else:
      self.abandon()
