# SPDX-License-Identifier: Apache-2.0
"""Accelerators by the names people use: what `v5p-128` or `h100:8` is.

Figures are per JAX device, which is a chip, but for TPU7x, whose chips are two
devices each. Memory of a TPU is what the compiler allows, as its errors state
it. Rates are the vendors' peaks: Google's Cloud TPU system pages, and NVIDIA's
data sheets of the SXM boards and of the DGX systems that hold eight of them.
"""

import dataclasses
import itertools
import math
import re

_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Device:
  """One device of a kind.

  Attributes:
    platform: "tpu" or "cuda".
    kind: JAX's `device_kind`, for TPU.
    memory_bytes: What a program may use.
    flops_per_s: Peak of bfloat16 matmuls, dense.
    memory_bytes_per_s: To its memory.
    link_bytes_per_s: To its neighbours in a slice or node, one way, all links.
    network_bytes_per_s: Its share of a host's network to other slices or nodes,
      one way.
    host_bytes_per_s: To its host's memory, by PCIe, one way.
  """

  platform: str
  kind: str
  memory_bytes: float
  flops_per_s: float
  memory_bytes_per_s: float
  link_bytes_per_s: float
  network_bytes_per_s: float
  host_bytes_per_s: float


@dataclasses.dataclass(frozen=True)
class Topology:
  """Devices that one job runs on.

  Attributes:
    name: As the compiler wants it, "v5p:4x4x4", or "h100:8".
    generation: "v5p", "h100".
    device: What each one is.
    num_devices: Of all slices together.
    num_chips: The same, as they are paid for.
    num_slices: Connected by the data-centre network alone.
    hosts_per_slice: Machines of a slice; a process each.
    accelerator_type: Cloud TPU's name of a slice; "" where it has none.
  """

  name: str
  generation: str
  device: Device
  num_devices: int
  num_chips: int
  num_slices: int
  hosts_per_slice: int
  accelerator_type: str


# A TPU host has 200 Gbit/s for its 4 chips.
_TPU_NETWORK = 25e9 / 4
# Google's pages have no figure: part 2 of "How to Scale Your Model" reckons so.
_TPU_PCIE = 15e9
# XLA puts arrays into a pool; what lies beside it (the CUDA context, NCCL's
# buffers) is given a twentieth.
GPU_POOL_SHARE = 0.95
# The pool's share if XLA_PYTHON_CLIENT_MEM_FRACTION does not say otherwise.
DEFAULT_GPU_POOL_SHARE = 0.75


def _tpu_device(kind, gib, flops, memory, links) -> Device:
  size = gib * _GIB
  return Device(
    "tpu", kind, size, flops, memory, links, _TPU_NETWORK, _TPU_PCIE
  )


def _gpu_device(gib, flops, memory, links, network, pcie) -> Device:
  size = GPU_POOL_SHARE * gib * _GIB
  return Device("cuda", "", size, flops, memory, links, network, pcie)


_TPUS = {
  "v4": _tpu_device("TPU v4", 30.75, 275e12, 1228e9, 270e9),
  "v5e": _tpu_device("TPU v5 lite", 15.75, 197e12, 819e9, 180e9),
  "v5p": _tpu_device("TPU v5", 95.74, 459e12, 2765e9, 540e9),
  "v6e": _tpu_device("TPU v6 lite", 31.25, 918e12, 1640e9, 360e9),
  "tpu7x": _tpu_device("TPU7x", 94.75, 1153.5e12, 3690e9, 270e9),
}
# Each has a network adapter of its own: of 200 Gbit/s beside an A100, of 400
# beside the others. Data sheets count PCIe both ways: 64 and 128 GB/s, and a
# B200's hosts have no more.
_GPUS = {
  "a100": _gpu_device(79.1, 312e12, 2039e9, 300e9, 25e9, 32e9),
  "h100": _gpu_device(79.1, 989.4e12, 3350e9, 450e9, 50e9, 64e9),
  "h200": _gpu_device(140.4, 989.4e12, 4800e9, 450e9, 50e9, 64e9),
  "b200": _gpu_device(178.4, 2250e12, 8000e9, 900e9, 50e9, 64e9),
}
# Of chips, to the shape that a slice of so many has.
_FLAT = {
  1: (1, 1), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8),
  128: (8, 16), 256: (16, 16),
}  # fmt: skip
_SMALL_CUBES = {
  4: (2, 2, 1), 8: (2, 2, 2), 16: (2, 2, 4), 32: (2, 4, 4), 64: (4, 4, 4),
}  # fmt: skip
# The number in a pod's name counts cores, two to a chip, or chips.
_CORES = {"v4", "v5p"}
_ALIASES = {
  "v5litepod": "v5e", "v5lite": "v5e", "v5": "v5p", "trillium": "v6e",
  "7x": "tpu7x", "ironwood": "tpu7x",
}  # fmt: skip
_CHIPS_PER_HOST, GPUS_PER_HOST = 4, 8
EXAMPLES = "v5p:4x4x4, v5p-128, v5e-16, v6e:2x4, tpu7x:2x2x1, h100:8 or h200:16"


def find_device(kind: str) -> Device | None:
  """The device of JAX's `device_kind`; None for one that is not known.

  A GPU calls itself "NVIDIA H100 80GB HBM3", say.
  """
  for device in _TPUS.values():
    if device.kind == kind:
      return device
  words = kind.lower().replace("-", " ").split()
  return next((_GPUS[word] for word in words if word in _GPUS), None)


def find_topology(name: str, *, num_slices: int = 1) -> Topology:
  """The devices that a name means.

  Args:
    name: A shape (`v5p:4x4x4`), a pod (`v5p-128`: 128 cores; `v5e-16`: 16
      chips), or GPUs (`h100:8`, or `h100x8`).
    num_slices: How many such slices, connected by the data-centre network.

  Raises:
    ValueError: No such thing, or one whose shape a name does not tell.
  """
  if num_slices < 1:
    raise ValueError(f"--slices={num_slices} must be at least 1.")
  text = name.strip().lower()
  if match := re.fullmatch(r"([abh]\d00)[:x](\d+)", text):
    return _gpu(name, match[1], int(match[2]), num_slices)
  if match := re.fullmatch(r"([a-z0-9]+):(\d+(?:x\d+)+)", text):
    shape = tuple(map(int, match[2].split("x")))
    return _tpu(name, _generation(name, match[1]), shape, num_slices)
  if match := re.fullmatch(r"([a-z0-9]+)-(\d+)", text):
    generation = _generation(name, match[1])
    shape = _pod_shape(name, generation, int(match[2]))
    return _tpu(name, generation, shape, num_slices)
  raise ValueError(
    f"--topology={name!r} is not a topology: write one such as {EXAMPLES}."
  )


def _generation(name: str, text: str) -> str:
  generation = _ALIASES.get(text, text)
  if generation not in _TPUS:
    raise ValueError(
      f"--topology={name!r}: {text!r} is not one of {', '.join(_TPUS)} (or"
      f" {', '.join(_GPUS)}, as in h100:8)."
    )
  return generation


def _pod_shape(name: str, generation: str, count: int) -> tuple[int, ...]:
  """The shape of a slice that is named by a number."""
  if generation == "tpu7x":
    raise ValueError(
      f"--topology={name!r}: write the shape of the slice, such as tpu7x:4x4x4."
    )
  flat = generation in ("v5e", "v6e")
  chips = count
  if generation in _CORES:
    if count % 2:
      raise ValueError(
        f"--topology={name!r}: the number counts cores, of which each chip has"
        f" two, and {count} is odd."
      )
    chips = count // 2
  shape = _FLAT.get(chips) if flat else _cube(chips)
  if shape is None:
    sizes = [
      n * (2 if generation in _CORES else 1)
      for n in (_FLAT if flat else _SMALL_CUBES)
    ]
    more = "" if flat else ", or a multiple of 128"
    raise ValueError(
      f"--topology={name!r}: a {generation} slice has no such size; there are"
      f" {generation}-{', '.join(map(str, sizes))}{more}. Other shapes are"
      f" written as {generation}:{'4x4' if flat else '4x4x8'}."
    )
  return shape


def _cube(chips: int) -> tuple[int, ...] | None:
  """Blocks of 4 x 4 x 4 chips, put together as near to a cube as they go."""
  if chips in _SMALL_CUBES:
    return _SMALL_CUBES[chips]
  if chips < 64 or chips % 64:
    return None
  blocks = chips // 64
  sides = [n for n in range(1, blocks + 1) if blocks % n == 0]
  shapes = [
    (a, b, blocks // (a * b))
    for a, b in itertools.combinations_with_replacement(sides, 2)
    if blocks % (a * b) == 0 and b <= blocks // (a * b)
  ]
  a, b, c = min(shapes, key=lambda shape: (shape[2], shape[1]))
  return 4 * a, 4 * b, 4 * c


def _tpu(
  name: str, generation: str, shape: tuple[int, ...], num_slices: int
) -> Topology:
  dimensions = 2 if generation in ("v5e", "v6e") else 3
  if len(shape) != dimensions or min(shape) < 1:
    example = "4x4" if dimensions == 2 else "2x2x1"
    raise ValueError(
      f"--topology={name!r}: a {generation} slice has {dimensions} dimensions,"
      f" as in {generation}:{example}."
    )
  chips = math.prod(shape)
  whole = all(n % 2 == 0 for n in shape[:2])
  if not whole and chips > 1:
    raise ValueError(
      f"--topology={name!r}: hosts hold 2 x 2 chips, so the first two sides are"
      " even (or the slice is one chip)."
    )
  if chips == 1 and dimensions == 3:
    raise ValueError(
      f"--topology={name!r}: the smallest {generation} slice is"
      f" {generation}:2x2x1."
    )
  per_chip = 2 if generation == "tpu7x" else 1
  pod = {"v5e": f"v5litepod-{chips}", "v6e": f"v6e-{chips}"}
  cores = f"{generation}-{2 * chips}" if generation in _CORES else ""
  return Topology(
    name=f"{generation}:{'x'.join(map(str, shape))}",
    generation=generation,
    device=_TPUS[generation],
    num_devices=chips * per_chip * num_slices,
    num_chips=chips * num_slices,
    num_slices=num_slices,
    hosts_per_slice=max(1, chips // _CHIPS_PER_HOST),
    accelerator_type=pod.get(generation, cores),
  )


def _gpu(name: str, generation: str, count: int, num_slices: int) -> Topology:
  if generation not in _GPUS:
    raise ValueError(
      f"--topology={name!r}: {generation} is not one of {', '.join(_GPUS)}."
    )
  if num_slices > 1:
    raise ValueError(
      f"--slices={num_slices} is for TPUs: write all GPUs, as in"
      f" {generation}:{count * num_slices}."
    )
  if count < 1 or (count > GPUS_PER_HOST and count % GPUS_PER_HOST):
    raise ValueError(
      f"--topology={name!r}: write 1 to {GPUS_PER_HOST} GPUs, or whole nodes of"
      f" {GPUS_PER_HOST}."
    )
  return Topology(
    name=f"{generation}:{count}",
    generation=generation,
    device=_GPUS[generation],
    num_devices=count,
    num_chips=count,
    num_slices=1,
    hosts_per_slice=max(1, count // GPUS_PER_HOST),
    accelerator_type="",
  )
