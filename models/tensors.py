# SPDX-License-Identifier: Apache-2.0
"""Named tensors that are read in blocks of rows, never all at once.

A conversion is a `Source` written to a target. Sources and targets agree on
one naming and layout, that of Hugging Face: one tensor per layer, matrices
[out, in]. A source may be a folder of files, or another source with its tensors
changed on the way, so that nothing larger than a block is held in memory.
"""

import collections
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import NamedTuple, Protocol

import ml_dtypes  # noqa: F401 - teaches NumPy the name "bfloat16".
import numpy as np

from ramjax.models.config import LlamaConfig

# Bytes of one block. Large enough that files are read and written at full
# speed, small enough that a few of them never matter.
BLOCK_BYTES = 32 * 2**20


class TensorSpec(NamedTuple):
  """What a tensor is, without its values.

  Attributes:
    shape: Its sizes; () is not used.
    dtype: As NumPy (with ml_dtypes) spells it: "float32", "bfloat16", ...
  """

  shape: tuple[int, ...]
  dtype: str


class Source(Protocol):
  """Tensors of one model, readable in blocks of rows."""

  @property
  def config(self) -> LlamaConfig:
    """The model's shape."""
    ...

  @property
  def specs(self) -> Mapping[str, TensorSpec]:
    """Every tensor by its Hugging Face name, in the order of the layers."""
    ...

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows `start` to `stop` of a tensor's first axis, in its own dtype.

    The array may be a read-only view of a mapped file: do not write to it.
    """
    ...


class Writer(Protocol):
  """A target that takes tensors block by block, in the order it was told."""

  def append(self, name: str, rows: np.ndarray) -> None:
    """Writes the next rows of a tensor."""
    ...

  def close(self) -> None:
    """Finishes; raises `TensorError` if something was not written."""
    ...

  def abandon(self) -> None:
    """Lets go of what is incomplete, as it is."""
    ...


class TensorError(ValueError):
  """A tensor or the file that should hold it is not what it must be."""


def blocks(spec: TensorSpec) -> Iterator[tuple[int, int]]:
  """Row ranges [start, stop) that cover a tensor, each about `BLOCK_BYTES`."""
  num_rows, step = spec.shape[0], block_rows(spec)
  for start in range(0, num_rows, step):
    yield start, min(start + step, num_rows)


def block_rows(spec: TensorSpec) -> int:
  """Rows of each of a tensor's blocks but the last, which may be shorter.

  The blocks are as few as `BLOCK_BYTES` allows, and about equal.
  """
  num_rows = spec.shape[0]
  largest = max(1, BLOCK_BYTES // (num_bytes(spec) // num_rows))
  return -(-num_rows // -(-num_rows // largest))


def num_bytes(spec: TensorSpec) -> int:
  """Bytes of a whole tensor."""
  size = np.dtype(spec.dtype).itemsize
  for length in spec.shape:
    size *= length
  return size


def copy(
  source: Source,
  writer: Writer,
  *,
  allow_nonfinite: bool = False,
  on_bytes: Callable[[int], object] = lambda count: None,
) -> None:
  """Writes every tensor of a source, one block at a time, and finishes.

  Args:
    source: What to read.
    writer: Where to; made for the names and order of `source.specs`.
    allow_nonfinite: Let NaN and infinities pass.
    on_bytes: Called with the size of each block written, to show progress.

  Raises:
    TensorError: A value that is not finite, or what either side raises; the
      writer is then abandoned.
  """
  try:
    for name, rows in _read_ahead(source, allow_nonfinite):
      writer.append(name, rows)
      on_bytes(rows.nbytes)
    writer.close()
  except BaseException:
    writer.abandon()
    raise


def _read_ahead(
  source: Source, allow_nonfinite: bool
) -> Iterator[tuple[str, np.ndarray]]:
  """Every block, read and checked by a thread while the last is written."""

  def read(name: str, start: int, stop: int) -> tuple[str, np.ndarray]:
    rows = source.rows(name, start, stop)
    if not allow_nonfinite and not is_finite(rows):
      raise TensorError(
        f"tensor {name!r} has NaN or infinite values in its rows {start} to"
        f" {stop - 1}: the weights are damaged, or overflowed in a cast to"
        f" {source.specs[name].dtype}."
      )
    return name, rows

  todo = (
    (name, start, stop)
    for name, spec in source.specs.items()
    for start, stop in blocks(spec)
  )
  with futures.ThreadPoolExecutor(1) as reader:
    ahead = collections.deque(
      reader.submit(read, *block) for block in itertools.islice(todo, 2)
    )
    while ahead:
      block = ahead.popleft().result()
      ahead.extend(
        reader.submit(read, *block) for block in itertools.islice(todo, 1)
      )
      yield block


# The exponent's bits, all ones in NaN and infinities only.
_EXPONENT = {
  "float64": (np.int64, np.uint64, 0x7FF0_0000_0000_0000),
  "float32": (np.int32, np.uint32, 0x7F80_0000),
  "bfloat16": (np.int16, np.uint16, 0x7F80),
  "float16": (np.int16, np.uint16, 0x7C00),
}


def is_finite(rows: np.ndarray) -> bool:
  """Whether no value is NaN or infinite.

  Read as integers, the largest signed one is the largest positive value, and
  the largest unsigned one the largest negative. Two maxima need no memory;
  `np.isfinite` goes through float32 value by value for bfloat16.
  """
  signed, unsigned, exponent = _EXPONENT[str(rows.dtype)]
  if not rows.size:
    return True
  rows = np.ascontiguousarray(rows)
  sign = 1 << (8 * rows.itemsize - 1)
  return bool(
    np.max(rows.view(signed)) < exponent
    and np.max(rows.view(unsigned)) < sign + exponent
  )


class Cast:
  """A source whose tensors are read in another dtype."""

  def __init__(self, source: Source, dtype: str):
    self._source = source
    self._dtype = np.dtype(dtype)
    self.config = source.config
    self.specs = {
      name: TensorSpec(spec.shape, dtype) for name, spec in source.specs.items()
    }

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows in the new dtype, rounded to nearest, ties to even."""
    rows = self._source.rows(name, start, stop)
    # An overflow becomes infinite, which `copy` refuses.
    with np.errstate(over="ignore"):
      return rows.astype(self._dtype, copy=False)
