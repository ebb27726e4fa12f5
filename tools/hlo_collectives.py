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
# TPU: what goes to other slices is handed to the host, which exchanges it.
_EXCHANGE = re.compile(r'_xla_megascale_transfer_type="([A-Z_]+)"')
_EXCHANGES = {
  "ALL_GATHER": "all-gather",
  "ALL_REDUCE": "all-reduce",
  "REDUCE_SCATTER": "reduce-scatter",
  "ALL_TO_ALL": "all-to-all",
  "ONE_TO_ONE": "collective-permute",
}
# TPU: a collective behind matmuls is written in the fusion that starts it, in
# that of each matmul it runs along, and in the one that ends it. The first has
# -1 here; an 8B's gather of `mlp/gate` on v5e:4x4 has nine others.
_CONTINUED = re.compile(r'"flag_start":"\d')


@dataclasses.dataclass(frozen=True)
class Collective:
  """All operations of a kind over the same mesh axes.

  Attributes:
    kind: One of `KINDS`, by what the program says: a TPU's may gather weights
      by an all-reduce of what each device has, among zeros.
    axes: Mesh axes that they cross, joined by "+".
    count: How many run in a step.
    bytes: What one device sends in a step, over its links.
    certain: Whether all of their loops have a length that is known; the others
      count as one turn.
    between_slices: Whether they go from slice to slice of TPUs, over the
      network of their hosts; the others stay in a slice, along `data` too.
  """

  kind: str
  axes: str
  count: int
  bytes: float
  certain: bool
  between_slices: bool = False

  @property
  def name(self) -> str:
    """What a table of them says."""
    where = "between slices" if self.between_slices else f"over {self.axes}"
    return f"{self.kind} {where}"


def find_collectives(
  text: str,
  axis_names: Sequence[str],
  axis_sizes: Sequence[int],
  *,
  num_slices: int = 1,
) -> list[Collective]:
  """The collectives of a program, those that move most first.

  Args:
    text: `compiled.as_text()`.
    axis_names: Of the mesh.
    axis_sizes: The same; the program numbers devices by their place in it.
    num_slices: Of TPUs, which the mesh's outer axis tells apart. The program is
      that of one of them, and numbers its devices alone.
  """
  num_devices = math.prod(axis_sizes)
  # A device, and those in its place in the other slices.
  across = np.arange(num_devices).reshape(num_slices, -1)[:, 0]
  found: dict[tuple[str, str, bool], list[float]] = {}
  uncertain = set()
  for instruction, times, known in hlo_program.parse_program(text).runs():
    kind = _kind(instruction)
    if kind is None or _CONTINUED.search(instruction.rest):
      continue
    between = instruction.op == "send"
    if between:
      group, sent = across, exchanged_bytes(kind, instruction, num_slices)
    else:
      group = _group(instruction, num_devices // num_slices)
      sent = sent_bytes(instruction, len(set(group.ravel().tolist())))
    axes = _axes_of(group, axis_names, axis_sizes)
    if not axes:
      continue  # A group of one moves nothing.
    key = kind, axes, between
    sums = found.setdefault(key, [0, 0.0])
    sums[0] += times
    sums[1] += times * sent
    if not known:
      uncertain.add(key)
  collectives = [
    Collective(
      kind=key[0],
      axes=key[1],
      count=int(count),
      bytes=total,
      certain=key not in uncertain,
      between_slices=key[2],
    )
    for key, (count, total) in found.items()
  ]
  return sorted(collectives, key=lambda c: -c.bytes)


def _kind(instruction: Instruction) -> str | None:
  """One of `KINDS`; None of what moves nothing to other devices."""
  if instruction.op == "send":
    exchange = _EXCHANGE.search(instruction.rest)
    if exchange is None:
      return None
    if exchange[1] not in _EXCHANGES:
      raise ValueError(
        f"the compiler has slices exchange by {exchange[1]!r}, which is none of"
        f" {', '.join(_EXCHANGES)}: use the libtpu of the lock file."
      )
    return _EXCHANGES[exchange[1]]
  kind = instruction.op.removesuffix("-start")
  return kind if kind in KINDS else None


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


def exchanged_bytes(kind: str, send: Instruction, num_slices: int) -> float:
  """Bytes that a device has its host send to other slices, at least.

  Of n slices and S bytes that the device hands over: a whole array to reduce,
  scatter or exchange, its part of one to gather.
  """
  share = (num_slices - 1) / num_slices
  times = {
    "all-gather": num_slices - 1,
    "all-reduce": 2 * share,
    "reduce-scatter": share,
    "all-to-all": share,
    "collective-permute": 1,
  }
  return times[kind] * array_bytes(send.shape)[0]


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
