# SPDX-License-Identifier: Apache-2.0
"""What two models differ in: config, tensors, bytes and values, block by block.

Both are read once. A tensor is equal when its checksum is; where it is not, the
largest differences of its values say by how much.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ramjax.models import tensors
from ramjax.models.config import COMPUTE_FIELDS
from ramjax.models.model_digest import Hasher, ModelDigest
from ramjax.models.tensors import Source

# Values that are compared at once, in float64: a block of them would take
# several times its bytes.
_NUM_VALUES = 2**20


class ValueDifference(NamedTuple):
  """Largest differences between the values of two tensors.

  Attributes:
    absolute: Of |a - b|; infinite where only one is finite, or a number.
    relative: Of |a - b| / max(|a|, |b|), from 0 to 2, or infinite.
  """

  absolute: float
  relative: float


class ModelDifference(NamedTuple):
  """All that differs between a first and a second model.

  Attributes:
    fields: Of the configs, by name; JSON-ready values.
    only_first: Names of tensors that the second lacks.
    only_second: Names of tensors that the first lacks.
    shapes: Of the tensors of one name and two shapes.
    dtypes: Of the tensors of one name and two dtypes.
    values: Of the tensors of one name and shape that are not equal to the byte
      (all zero where only the dtype differs).
    digests: Checksums of both.
  """

  fields: dict[str, tuple[Any, Any]]
  only_first: list[str]
  only_second: list[str]
  shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
  dtypes: dict[str, tuple[str, str]]
  values: dict[str, ValueDifference]
  digests: tuple[ModelDigest, ModelDigest]

  @property
  def is_none(self) -> bool:
    """Whether the models are the same, to the byte."""
    first, second = self.digests
    return not self.fields and first.total == second.total


def model_difference(
  first: Source,
  second: Source,
  *,
  on_bytes: Callable[[int], object] = lambda count: None,
) -> ModelDifference:
  """Compares two models; needs the memory of a few blocks.

  Args:
    first: A model.
    second: Another, in any layout and dtype, of any shape.
    on_bytes: Called with the bytes of both that were read, to show progress.
  """
  names = list(dict.fromkeys([*first.specs, *second.specs]))
  both = [n for n in names if n in first.specs and n in second.specs]
  shapes = {
    name: (first.specs[name].shape, second.specs[name].shape)
    for name in both
    if first.specs[name].shape != second.specs[name].shape
  }
  hashers = Hasher(first.specs), Hasher(second.specs)
  found = {}
  for name in names:
    if name in both and name not in shapes:
      found[name] = _compare(name, first, second, hashers, on_bytes)
      continue
    for source, hasher in zip((first, second), hashers, strict=True):
      if name in source.specs:
        for start, stop in tensors.blocks(source.specs[name]):
          rows = source.rows(name, start, stop)
          hasher.update(name, rows)
          on_bytes(rows.nbytes)
  digests = hashers[0].result(), hashers[1].result()
  return ModelDifference(
    fields=_fields(first, second),
    only_first=[name for name in names if name not in second.specs],
    only_second=[name for name in names if name not in first.specs],
    shapes=shapes,
    dtypes={
      name: (first.specs[name].dtype, second.specs[name].dtype)
      for name in both
      if first.specs[name].dtype != second.specs[name].dtype
    },
    values={
      name: difference
      for name, difference in found.items()
      if digests[0].tensors[name] != digests[1].tensors[name]
    },
    digests=digests,
  )


def _fields(first: Source, second: Source) -> dict[str, tuple[Any, Any]]:
  ours = dataclasses.asdict(first.config)
  theirs = dataclasses.asdict(second.config)
  return {
    name: (ours[name], theirs[name])
    for name in ours
    if name not in COMPUTE_FIELDS and ours[name] != theirs[name]
  }


def _compare(
  name: str,
  first: Source,
  second: Source,
  hashers: tuple[Hasher, Hasher],
  on_bytes: Callable[[int], object],
) -> ValueDifference:
  """Hashes both tensors of a name, and finds how far apart they are."""
  worst = ValueDifference(0.0, 0.0)
  # Blocks of the wider dtype, so that neither side's is too large.
  spec = max(first.specs[name], second.specs[name], key=tensors.num_bytes)
  for start, stop in tensors.blocks(spec):
    ours = first.rows(name, start, stop)
    theirs = second.rows(name, start, stop)
    hashers[0].update(name, ours)
    hashers[1].update(name, theirs)
    if not _same_bytes(ours, theirs):
      block = value_difference(ours, theirs)
      worst = ValueDifference(*map(max, worst, block))
    on_bytes(ours.nbytes + theirs.nbytes)
  return worst


def _same_bytes(first: np.ndarray, second: np.ndarray) -> bool:
  if first.dtype != second.dtype:
    return False
  first, second = map(np.ascontiguousarray, (first, second))
  return np.array_equal(first.view(np.uint8), second.view(np.uint8))


def value_difference(first: np.ndarray, second: np.ndarray) -> ValueDifference:
  """Largest differences of two arrays of one shape, in float64.

  Equal infinities, and NaN in both, are no difference.
  """
  worst = ValueDifference(0.0, 0.0)
  first, second = first.reshape(-1), second.reshape(-1)
  for start in range(0, first.size, _NUM_VALUES):
    chunk = slice(start, start + _NUM_VALUES)
    ours, theirs = (x[chunk].astype(np.float64) for x in (first, second))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
      gap = np.abs(ours - theirs)
      relative = gap / np.maximum(np.abs(ours), np.abs(theirs))
    # NaN is left where one is NaN, or infinite, and the other is not.
    found = (np.where(np.isnan(x), np.inf, x) for x in (gap, relative))
    largest = (float(np.where(same, 0.0, x).max()) for x in found)
    worst = ValueDifference(*map(max, worst, largest))
  return worst
