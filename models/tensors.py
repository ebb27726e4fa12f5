# SPDX-License-Identifier: Apache-2.0
"""Named tensors that are read in blocks of rows, never all at once.

A conversion is a `Source` written to a target. Sources and targets agree on
one naming and layout, that of Hugging Face: one tensor per layer, matrices
[out, in]. A source may be a folder of files, or another source with its tensors
changed on the way, so that nothing larger than a block is held in memory.
"""

from collections.abc import Iterator, Mapping
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


class TensorError(ValueError):
  """A tensor or the file that should hold it is not what it must be."""


def blocks(
  spec: TensorSpec, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, int]]:
  """Row ranges [start, stop) that cover a tensor, each about `block_bytes`."""
  num_rows = spec.shape[0]
  row_bytes = num_bytes(spec) // num_rows
  step = max(1, block_bytes // row_bytes)
  for start in range(0, num_rows, step):
    yield start, min(start + step, num_rows)


def num_bytes(spec: TensorSpec) -> int:
  """Bytes of a whole tensor."""
  size = np.dtype(spec.dtype).itemsize
  for length in spec.shape:
    size *= length
  return size
