# SPDX-License-Identifier: Apache-2.0
"""Weight deltas: the difference of a tuned model and its base, and back.

Publishing `tuned - base` lets those who hold the base under its licence rebuild
the tuned model (as Alpaca and Vicuna were released), here to the last bit: see
`delta_arithmetic`. All of it reads blocks.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from ramjax.models import delta_arithmetic, model_digest, tensors
from ramjax.models.config import LlamaConfig
from ramjax.models.model_digest import ModelDigest
from ramjax.models.tensors import Source, TensorError, TensorSpec

# A dtype is large enough for a tensor if at most one element in so many does
# not come back. Twice the bytes for every element would cost more than these.
_EXCEPTIONS_ONE_IN = 64
_FEW = 16


class Plan(NamedTuple):
  """What a pass over both models found.

  Attributes:
    base: Checksums of the base.
    result: Checksums of the tuned model.
    dtypes: Of each tensor's difference.
    result_dtypes: Of each tensor of the tuned model.
    exceptions: How many elements of a tensor are kept as they are.
  """

  base: ModelDigest
  result: ModelDigest
  dtypes: dict[str, str]
  result_dtypes: dict[str, str]
  exceptions: dict[str, int]


def plan(
  base: Source,
  tuned: Source,
  *,
  on_bytes: Callable[[int], object] = lambda count: None,
) -> Plan:
  """Reads both models and chooses the dtype of each tensor's difference.

  It is the smallest of the tensor's own, float32 and float64 in which all
  elements come back but one in 64 (or 16, if that is more).

  Args:
    base: What is subtracted.
    tuned: From what; of the same shape (`same_shape.check`).
    on_bytes: Called with the bytes of the tuned model that are done.

  Raises:
    TensorError: A value that is not finite, or a tensor of which too many
      elements do not come back.
  """
  base_hasher = model_digest.Hasher(base.specs)
  hasher = model_digest.Hasher(tuned.specs)
  dtypes, exceptions = {}, {}
  for name, spec in tuned.specs.items():
    for start, stop in delta_arithmetic.blocks(spec.shape):
      base_rows = base.rows(name, start, stop)
      rows = tuned.rows(name, start, stop)
      for of_model, checked in (("base", base_rows), ("tuned", rows)):
        if not tensors.is_finite(checked):
          raise TensorError(
            f"tensor {name!r} of the {of_model} model has NaN or infinite"
            f" values in its rows {start} to {stop - 1}: the weights are"
            " damaged."
          )
      base_hasher.update(name, base_rows)
      hasher.update(name, rows)
    dtypes[name], exceptions[name] = _choose(base, tuned, name, spec)
    on_bytes(tensors.num_bytes(spec))
  return Plan(
    base=base_hasher.result(),
    result=hasher.result(),
    dtypes=dtypes,
    result_dtypes={name: spec.dtype for name, spec in tuned.specs.items()},
    exceptions=exceptions,
  )


def _choose(
  base: Source, tuned: Source, name: str, spec: TensorSpec
) -> tuple[str, int]:
  """The dtype of a tensor's difference, and the number of exceptions in it."""
  size = int(np.prod(spec.shape))
  most = max(size // _EXCEPTIONS_ONE_IN, _FEW)
  for dtype in delta_arithmetic.candidates(spec.dtype):
    count = 0
    for start, stop in delta_arithmetic.blocks(spec.shape):
      _, failed = delta_arithmetic.subtract(
        tuned.rows(name, start, stop), base.rows(name, start, stop), dtype
      )
      count += int(np.count_nonzero(failed))
      if count > most:
        break
    else:
      return dtype, count
  raise TensorError(
    f"tensor {name!r}: over {most} of its {size} elements cannot be told from"
    " the difference to the base, even in float64: the magnitudes are too far"
    " apart. Is it the base of this model?"
  )


class Delta:
  """The difference of two models, as a source."""

  def __init__(self, base: Source, tuned: Source, chosen: Plan):
    self._base = base
    self._tuned = tuned
    self.config = tuned.config
    self.specs = {
      name: TensorSpec(spec.shape, chosen.dtypes[name])
      for name, spec in tuned.specs.items()
    }

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of the difference; 0 where the tuned value is kept instead."""
    shape, dtype = self.specs[name]
    rows = np.empty((stop - start, *shape[1:]), np.dtype(dtype))
    for first, last in delta_arithmetic.blocks(rows.shape):
      at = start + first, start + last
      rows[first:last], _ = delta_arithmetic.subtract(
        self._tuned.rows(name, *at), self._base.rows(name, *at), dtype
      )
    return rows

  def exceptions(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The elements of a tensor that are kept as they are.

    Returns:
      [n] their places in the flattened tensor, ascending, int64; and [n] their
      tuned values.
    """
    shape, dtype = self.specs[name]
    width = int(np.prod(shape[1:], dtype=np.int64))
    places, values = [], []
    for start, stop in delta_arithmetic.blocks(shape):
      tuned = self._tuned.rows(name, start, stop)
      _, failed = delta_arithmetic.subtract(
        tuned, self._base.rows(name, start, stop), dtype
      )
      places.append(start * width + np.flatnonzero(failed))
      values.append(tuned[failed])
    return np.concatenate(places), np.concatenate(values)


class Kept(Protocol):
  """A delta that was read back: `delta_folder.DeltaFolder`."""

  @property
  def config(self) -> LlamaConfig:
    """The model's shape."""
    ...

  @property
  def specs(self) -> Mapping[str, TensorSpec]:
    """The differences."""
    ...

  @property
  def result_dtypes(self) -> Mapping[str, str]:
    """Dtype of each tensor of the tuned model."""
    ...

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a difference."""
    ...

  def exceptions(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """As `Delta.exceptions`."""
    ...


class Applied:
  """The tuned model, as a source: the base plus a delta."""

  def __init__(self, base: Source, delta: Kept):
    self._base = base
    self._delta = delta
    self.config = delta.config
    self.specs = {
      name: TensorSpec(spec.shape, delta.result_dtypes[name])
      for name, spec in delta.specs.items()
    }

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of the tuned model."""
    shape, dtype = self.specs[name]
    rows = np.empty((stop - start, *shape[1:]), np.dtype(dtype))
    for first, last in delta_arithmetic.blocks(rows.shape):
      at = start + first, start + last
      rows[first:last] = delta_arithmetic.add(
        self._base.rows(name, *at), self._delta.rows(name, *at), dtype
      )
    width = int(np.prod(shape[1:], dtype=np.int64))
    places, values = self._delta.exceptions(name)
    low, high = np.searchsorted(places, [start * width, stop * width])
    rows.reshape(-1)[places[low:high] - start * width] = values[low:high]
    return rows
