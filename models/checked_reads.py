# SPDX-License-Identifier: Apache-2.0
"""Arrays of a checkpoint, block by block as they are read: are they what was saved?

Each block is read for its own sake, in any order and by several threads; once all of
an array was seen, its digest is compared with that of the checkpoint. What each of
several processes reads in part is compared when they tell each other: `parts` and
`compare`.
"""

import dataclasses
import itertools
import json
import math
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from ramjax.models import array_digest, saved_digests
from ramjax.models.tensors import TensorError

_Range = tuple[int, int]


@dataclasses.dataclass
class _Seen:
  """What was read of one array.

  Attributes:
    ranges: In each layer, disjoint and ascending.
    sums: Over what is in them, as far as `left` has come.
    left: Elements whose sums are missing.
  """

  ranges: dict[int, list[_Range]]
  sums: tuple[int, int]
  left: int


class Part(TypedDict):
  """What one reader has read of an array, and not all of it.

  Attributes:
    read: Runs of layers that were read alike: the first, the last, and the
      ranges [start, stop) of the axis in which blocks begin; ascending. Layer -1
      stands for all of an array that has none.
    sums: Over what was read.
    left: Elements that were not.
  """

  read: list[Any]
  sums: list[int]
  left: int


class CheckedReads:
  """The digests of one item of a checkpoint, and what was read of it so far."""

  def __init__(self, item: pathlib.Path):
    """Reads the record of the checkpoint that `item` lies in.

    Raises:
      TensorError: The record is damaged, or that of another step.
      ValueError: It is of a format that this version does not know.
    """
    self._item = item
    self._saved = {}
    self._seen: dict[str, _Seen] = {}
    self._lock = threading.Lock()
    step = item.parent
    if not saved_digests.may_be_in(step):
      return
    try:
      record = saved_digests.read(step)
      if record is None:
        return
      saved_digests.require_step(record, int(step.name))
    except saved_digests.Damaged as error:
      raise TensorError(self._damaged(str(error))) from error
    self._saved = record["arrays"].get(item.name, {})

  def saw(
    self,
    path: Sequence[str],
    block: np.ndarray,
    *,
    layer: int | None,
    start: int,
    axis: int,
  ) -> None:
    """Adds what is new of a block, and compares the array if none is missing.

    Args:
      path: Of the leaf.
      block: As it is stored; without the axis of layers where `layer` is given.
      layer: Index into the array's first axis; None where it has no such axis.
      start: Where the block begins in `axis`; in all others it is whole.
      axis: Of the block.

    Raises:
      TensorError: The array is not, bit for bit, what was saved.
    """
    name = "/".join(path)
    saved = self._saved.get(name)
    if saved is None:
      return
    shape = tuple(saved["shape"])
    with self._lock:
      seen = self._seen.setdefault(name, _Seen({}, (0, 0), math.prod(shape)))
      ranges = seen.ranges.setdefault(-1 if layer is None else layer, [])
      new = _take(ranges, (start, start + block.shape[axis]))
    for low, high in new:
      within = [slice(None)] * block.ndim
      within[axis] = slice(low - start, high - start)
      part = block[tuple(within)]
      first = [0] * block.ndim
      first[axis] = low
      if layer is not None:
        part, first = part[None], [layer, *first]
      sums = array_digest.of_block(part, first, shape)
      with self._lock:
        seen.sums = array_digest.add([seen.sums, sums])
        seen.left -= part.size
    if seen.left == 0:
      self._require(name, seen.sums)

  def parts(self) -> dict[str, Part]:
    """What was read of arrays that were read in part, by their names.

    It is of JSON's types, to be told to other processes.
    """
    with self._lock:
      return {
        name: Part(
          read=_shortened(seen.ranges), sums=list(seen.sums), left=seen.left
        )
        for name, seen in self._seen.items()
        if seen.left
      }

  def compare(self, parts_of_all: Sequence[Mapping[str, Part]]) -> None:
    """Compares the arrays that several readers have read whole between them.

    Readers of one part, such as copies of a shard, must have found the same.
    Where parts overlap otherwise, or leave something out, the array is not
    vouched for.

    Args:
      parts_of_all: `parts` of each reader.

    Raises:
      TensorError: An array is not, bit for bit, what was saved, or this reader's
        checkpoint has no digest of what another's has.
    """
    for name in sorted({name for parts in parts_of_all for name in parts}):
      if name not in self._saved:
        raise TensorError(
          self._damaged(
            f"another process has a digest of {name}, this one none"
          )
        )
      distinct: dict[str, Part] = {}
      for part in (parts[name] for parts in parts_of_all if name in parts):
        other = distinct.setdefault(json.dumps(part["read"]), part)
        if other["sums"] != part["sums"]:
          raise TensorError(
            self._damaged(
              f"two processes read different bits of {self._item.name}/{name}"
            )
          )
      found = list(distinct.values())
      size = math.prod(self._saved[name]["shape"])
      whole = sum(size - part["left"] for part in found) == size
      if whole and _are_disjoint([part["read"] for part in found]):
        self._require(name, array_digest.add([part["sums"] for part in found]))

  def _require(self, name: str, sums: tuple[int, int]) -> None:
    if list(sums) != self._saved[name]["sums"]:
      raise TensorError(
        self._damaged(
          f"the digest of {self._item.name}/{name} is not the one saved"
        )
      )

  def _damaged(self, what: str) -> str:
    return (
      f"{self._item.parent} is not, bit for bit, what was saved: {what}. Use"
      " another checkpoint of the run (by its step), or a copy of this one."
    )


def _take(ranges: list[_Range], wanted: _Range) -> list[_Range]:
  """Adds a range to disjoint ones; returns what was in none of them."""
  low, stop = wanted
  new = []
  for start, end in ranges:
    if low < min(start, stop):
      new.append((low, min(start, stop)))
    low = max(low, end)
  if low < stop:
    new.append((low, stop))
  ranges.extend(new)
  ranges.sort()
  return new


def _shortened(ranges: Mapping[int, list[_Range]]) -> list[Any]:
  """`Part.read`: most layers are alike, so that a message of it is short."""
  runs: list[Any] = []
  for layer, of_layer in sorted(ranges.items()):
    joined = _joined(of_layer)
    if runs and runs[-1][1] == layer - 1 and runs[-1][2] == joined:
      runs[-1][1] = layer
    else:
      runs.append([layer, layer, joined])
  return runs


def _joined(ranges: Sequence[_Range]) -> list[list[int]]:
  """Disjoint ascending ranges, of which those that touch are one."""
  joined: list[list[int]] = []
  for low, high in ranges:
    if joined and joined[-1][1] == low:
      joined[-1][1] = high
    else:
      joined.append([low, high])
  return joined


def _are_disjoint(reads: Sequence[list[Any]]) -> bool:
  """Whether no two readers have read the same; by `Part.read` of each."""
  by_layer: dict[int, list[list[int]]] = {}
  for first, last, ranges in itertools.chain.from_iterable(reads):
    for layer in range(first, last + 1):
      by_layer.setdefault(layer, []).extend(ranges)
  return all(
    one[1] <= other[0]
    for ranges in by_layer.values()
    for one, other in itertools.pairwise(sorted(ranges))
  )
