# SPDX-License-Identifier: Apache-2.0
"""What moves between devices in a compiled step: kind, mesh axes, bytes."""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ramjax.tools import hlo_program
from ramjax.tools.hlo_program import Instruction

KINDS = (
  "all-gather", "all-reduce", "reduce-scatter", "all-to-all",
  "collective-permute",
)  # fmt: skip
_BITS = {"pred": 8, "bf16": 16, "s4": 4, "u4": 4}
_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,]*)\]")
_NAMED_GROUPS = re.compile(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}")
_IOTA_GROUPS = re.compile(
  r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?"
)
_LISTED_GROUPS = re.compile(r"replica_groups=\{((?:\{[\d,]*\},?)*)\}")
_PAIRS = re.compile(r"source_target_pairs=\{((?:\{\d+,\d+\},?)*)\}")


@dataclasses.dataclass(frozen=True)
class Collective:
  """All operations of a kind over the same mesh axes.

  Attributes:
    kind: One of `KINDS`.
    axes: Mesh axes that they cross, joined by "+".
    count: How many run in a step.
    bytes: What one device sends in a step, over its links.
    certain: Whether all of their loops have a length that is known; the others
      count as one turn.
  """

  kind: str
  axes: str
  count: int
  bytes: float
  certain: bool


def find_collectives(
  text: str, axis_names: Sequence[str], axis_sizes: Sequence[int]
) -> list[Collective]:
  """The collectives of a program, those that move most first.

  Args:
    text: `compiled.as_text()`.
    axis_names: Of the mesh.
    axis_sizes: The same; the program numbers devices by their place in it.
  """
  found: dict[tuple[str, str], list[float]] = {}
  uncertain = set()
  for instruction, times, known in hlo_program.parse_program(text).runs():
    kind = instruction.op.removesuffix("-start")
    if kind not in KINDS:
      continue
    group = _group(instruction, math.prod(axis_sizes))
    axes = _axes_of(group, axis_names, axis_sizes)
    if not axes:
      continue  # A group of one moves nothing.
    sums = found.setdefault((kind, axes), [0, 0.0])
    sums[0] += times
    sums[1] += times * sent_bytes(instruction, len(set(group.ravel().tolist())))
    if not known:
      uncertain.add((kind, axes))
  collectives = [
    Collective(*key, int(count), total, key not in uncertain)
    for key, (count, total) in found.items()
  ]
  return sorted(collectives, key=lambda c: -c.bytes)


def sent_bytes(instruction: Instruction, group_size: int) -> float:
  """Bytes that a device sends, by the algorithms that send least.

  Of n devices and an array of S bytes where it is whole: S (n - 1) / n to
  gather, scatter or exchange it, twice that to reduce it for all, S to pass it
  on.
  """
  kind = instruction.op.removesuffix("-start")
  sizes = array_bytes(instruction.shape)
  if kind == "collective-permute":
    return sizes[0]
  if kind != "all-reduce" and instruction.op.endswith("-start"):
    # What goes in stands before what comes out.
    sizes = sizes[len(sizes) // 2 :]
  share = (group_size - 1) / group_size
  if kind == "all-reduce":
    return 2 * share * sum(sizes)
  if kind == "reduce-scatter":
    return share * group_size * sum(sizes)
  return share * sum(sizes)


def array_bytes(shape: str) -> list[float]:
  """Bytes of each array in a type."""
  sizes = []
  for name, dimensions in _ARRAY.findall(shape):
    bits = _BITS.get(name)
    if bits is None:
      digits = re.match(r"[a-z]+(\d+)", name)
      if digits is None:
        continue
      bits = int(digits[1])
    count = math.prod(int(n) for n in dimensions.split(",") if n)
    sizes.append(count * bits / 8)
  return sizes


def _group(instruction: Instruction, num_devices: int) -> np.ndarray:
  """Devices that exchange with one another: a group, or pairs [P, 2]."""
  rest = instruction.rest
  if match := _NAMED_GROUPS.search(rest):
    sizes = [int(n) for n in re.findall(r"=(\d+)", match[1])]
    names = re.findall(r"'([^']+)'=", match[1])
    chosen = re.findall(r"'([^']+)'", match[2])
    ids = np.arange(math.prod(sizes)).reshape(sizes)
    return ids[
      tuple(slice(None) if name in chosen else 0 for name in names)
    ].ravel()
  if match := _IOTA_GROUPS.search(rest):
    shape, source = (_integers(match[i]) for i in (1, 2))
    ids = np.arange(math.prod(source)).reshape(source)
    if match[3]:
      ids = ids.transpose(_integers(match[3]))
    return ids.reshape(shape)[0]
  if match := _PAIRS.search(rest):
    return np.array(_integers(match[1])).reshape(-1, 2)
  if (match := _LISTED_GROUPS.search(rest)) and match[1]:
    first = match[1].split("}")[0]
    return np.array(_integers(first))
  return np.arange(num_devices)


def _integers(text: str) -> list[int]:
  return [int(n) for n in re.findall(r"\d+", text)]


def _axes_of(
  group: np.ndarray, names: Sequence[str], sizes: Sequence[int]
) -> str:
  """Mesh axes along which the members of a group differ."""
  if group.ndim == 2:  # Pairs
    places = np.array(np.unravel_index(group, tuple(sizes)))
    differs = np.any(places[..., 0] != places[..., 1], axis=1)
  else:
    places = np.array(np.unravel_index(group, tuple(sizes)))
    differs = np.any(places != places[:, :1], axis=1)
  return "+".join(itertools.compress(names, differs.tolist()))


def as_json(collectives: Sequence[Collective]) -> list[dict[str, Any]]:
  """For a report."""
  return [dataclasses.asdict(c) for c in collectives]
