# SPDX-License-Identifier: Apache-2.0
"""Arrays of a checkpoint, block by block as they are read: are they what was saved?

Each block is read for its own sake, in any order and by several threads; once the
blocks seen are together the whole array, its digest is compared with that of the
checkpoint. What is read in part is not vouched for.
"""

import dataclasses
import itertools
import math
import pathlib
import threading
from collections.abc import Sequence

import numpy as np

from ramjax.models import array_digest, saved_digests
from ramjax.models.tensors import TensorError

# Orbax writes it beside the items of a run's checkpoints; converters do not.
_WRITTEN_BY_A_RUN = "_CHECKPOINT_METADATA"


@dataclasses.dataclass
class _Seen:
  """Of one array: the ends of the blocks by their starts, in each layer."""

  stops: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
  sums: tuple[int, int] = (0, 0)
  size: int = 0


class CheckedReads:
  """The digests of one item of a checkpoint, and what was read of it so far."""

  def __init__(self, item: pathlib.Path):
    """Reads the record of the checkpoint that `item` lies in.

    Raises:
      TensorError: The record is damaged.
      ValueError: It is of a format that this version does not know.
    """
    self._item = item
    self._saved = {}
    self._seen: dict[str, _Seen] = {}
    self._lock = threading.Lock()
    if not (item.parent / _WRITTEN_BY_A_RUN).is_file():
      return  # Made by a converter, which keeps no digests.
    try:
      record = saved_digests.read(item.parent)
    except saved_digests.Damaged as error:
      raise TensorError(self._damaged(str(error))) from error
    if record is not None:
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
    """Adds a block, and compares the array if it was the last one missing.

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
    place = (-1 if layer is None else layer, start)
    if saved is None or place in self._seen.get(name, _Seen()).stops:
      return
    first = [0] * block.ndim
    if block.ndim:
      first[axis] = start
    whole = block if layer is None else block[None]
    first = first if layer is None else [layer, *first]
    sums = array_digest.of_block(whole, first, tuple(saved["shape"]))
    with self._lock:
      seen = self._seen.setdefault(name, _Seen())
      if place in seen.stops:
        return
      stop = start + (block.shape[axis] if block.ndim else 1)
      seen.stops[place] = stop
      seen.sums = array_digest.add([seen.sums, sums])
      seen.size += block.size
      if seen.size < math.prod(saved["shape"]) or _overlap(seen.stops):
        return
      if list(seen.sums) != saved["sums"]:
        raise TensorError(
          self._damaged(
            f"the digest of {self._item.name}/{name} is not the one saved"
          )
        )

  def _damaged(self, what: str) -> str:
    step = self._item.parent
    return (
      f"{step} is not, bit for bit, what was saved: {what}. Use another"
      " checkpoint of the run (by its step), or a copy of this one."
    )


def _overlap(stops: dict[tuple[int, int], int]) -> bool:
  """Whether blocks hold something twice: then their sums are not the array's."""
  blocks = sorted((*place, stop) for place, stop in stops.items())
  return any(
    layer == other and stop > start
    for (layer, _, stop), (other, start, _) in itertools.pairwise(blocks)
  )
