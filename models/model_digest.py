# SPDX-License-Identifier: Apache-2.0
r"""A checksum over every weight of a model, whatever files it lies in.

A tensor's checksum is the SHA-256 of one line, `DTYPE [SHAPE]\n`, and its
values row by row, little-endian. The model's is the SHA-256 of one line for
each tensor, `NAME CHECKSUM\n`, in the order of the names' bytes. Names and
shapes are those of Hugging Face, so a run's folder and its export agree, and so
do any two ways to split the same tensors over files.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ramjax.models import tensors
from ramjax.models.tensors import Source, TensorError, TensorSpec


class ModelDigest(NamedTuple):
  """Checksums of a model, in hexadecimal.

  Attributes:
    total: Of the whole model.
    tensors: Of each tensor, by its Hugging Face name.
  """

  total: str
  tensors: dict[str, str]


def digest(
  source: Source, *, on_bytes: Callable[[int], object] = lambda count: None
) -> ModelDigest:
  """Reads a model once, in blocks, and returns its checksums.

  Args:
    source: The model.
    on_bytes: Called with the size of each block read, to show progress.
  """
  hasher = Hasher(source.specs)
  for name, spec in source.specs.items():
    for start, stop in tensors.blocks(spec):
      rows = source.rows(name, start, stop)
      hasher.update(name, rows)
      on_bytes(rows.nbytes)
  return hasher.result()


def differing(expected: ModelDigest, found: ModelDigest) -> list[str]:
  """Names of the tensors that two models do not have alike, sorted."""
  names = expected.tensors.keys() | found.tensors.keys()
  return sorted(
    name
    for name in names
    if expected.tensors.get(name) != found.tensors.get(name)
  )


def describe(names: list[str], *, most: int = 3) -> str:
  """The first of several tensors, quoted, for a message."""
  shown = ", ".join(repr(name) for name in names[:most])
  return shown + (f" and {len(names) - most} more" * (len(names) > most))


class Hasher:
  """Checksums of tensors whose rows arrive block by block, in any blocks."""

  def __init__(self, specs: Mapping[str, TensorSpec]):
    """Starts.

    Args:
      specs: Every tensor of the model.
    """
    self._hashes = {
      name: hashlib.sha256(f"{spec.dtype} {list(spec.shape)}\n".encode())
      for name, spec in specs.items()
    }
    self._missing = {name: tensors.num_bytes(s) for name, s in specs.items()}

  def update(self, name: str, rows: np.ndarray) -> None:
    """Takes the next rows of a tensor, in its own dtype."""
    rows = np.ascontiguousarray(rows)
    # Through uint8, because bfloat16 has no buffer of its own.
    self._hashes[name].update(rows.view(np.uint8).data)
    self._missing[name] -= rows.nbytes

  def result(self) -> ModelDigest:
    """The checksums, once every tensor has been given to its end.

    Raises:
      TensorError: One has not.
    """
    for name, missing in self._missing.items():
      if missing:
        raise TensorError(
          f"tensor {name!r} was not read to its end: {missing} bytes are"
          " missing from its checksum."
        )
    return combine({n: h.hexdigest() for n, h in self._hashes.items()})


def combine(of_tensors: Mapping[str, str]) -> ModelDigest:
  """The digest of a model from the checksums of its tensors."""
  total = hashlib.sha256()
  for name in sorted(of_tensors, key=str.encode):
    total.update(f"{name} {of_tensors[name]}\n".encode())
  return ModelDigest(total.hexdigest(), dict(of_tensors))


class Hashed:
  """A source whose rows are hashed as they are read, each once and in order."""

  def __init__(self, source: Source):
    self._source = source
    self._hasher = Hasher(source.specs)
    self._next = dict.fromkeys(source.specs, 0)
    self.config = source.config
    self.specs = source.specs

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """The next rows of a tensor.

    Raises:
      TensorError: Others than the next: a checksum needs all, in order.
    """
    if start != self._next[name]:
      raise TensorError(
        f"tensor {name!r}: row {start} was asked for, and {self._next[name]}"
        " is next: rows that are hashed are read once, in order."
      )
    rows = self._source.rows(name, start, stop)
    self._hasher.update(name, rows)
    self._next[name] = stop
    return rows

  def result(self) -> ModelDigest:
    """The checksums, once everything was read; see `Hasher.result`."""
    return self._hasher.result()
