# SPDX-License-Identifier: Apache-2.0
"""Meshes and the one table that says which axis of what goes where.

Model code names logical axes; only this table knows the mesh.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

MESH_AXES = ("data", "fsdp", "sequence", "tensor")

# Logical axis -> mesh axes. `data` replicates parameters (it may cross slow
# links between slices); `fsdp` shards them; `tensor` splits heads, MLP and
# vocabulary inside each matmul.
RULES: Mapping[str, tuple[str, ...]] = {
  "batch": ("data", "fsdp"),
  "length": ("sequence",),
  "activation": (),
  "layers": (),
  "norm": (),
  "embed": ("fsdp",),
  "vocab": ("tensor",),
  "heads": ("tensor",),
  "kv_heads": ("tensor",),
  "mlp": ("tensor",),
  "label": (),
  "rank": (),
  "quantized": (),
}


def make_mesh(
  axis_sizes: Mapping[str, int],
  devices: Sequence[Any] | None = None,
) -> Mesh:
  """A mesh over all devices, with axes `MESH_AXES`.

  Devices of several slices are told apart by `data`, the outer axis: what is
  sent between slices, over slow links, is a sum of gradients a microbatch.

  Args:
    axis_sizes: Size of each mesh axis; one may be -1 for "the rest"; an axis
      not named has size 1.
    devices: All devices of the process group by default. Those of a topology,
      which no runtime is at hand for, do as well.

  Returns:
    A mesh of `AxisType.Auto` axes (JAX's default is Explicit, under which a
    sharded embedding gather is an error).

  Raises:
    ValueError: Unknown axis; sizes that do not multiply to the number of
      devices, or a `data` that is no multiple of the slices.
  """
  devices = list(jax.devices() if devices is None else devices)
  sizes = _sizes(axis_sizes, len(devices))
  num_slices = len({_slice_of(device) for device in devices})
  if sizes[0] % num_slices:
    raise ValueError(
      f"mesh data={sizes[0]} is not a multiple of the {num_slices} slices: only"
      " data crosses slices, and each holds whole replicas of the parameters."
      f" Set mesh.data to a multiple of {num_slices}."
    )
  inner = (sizes[0] // num_slices, *sizes[1:])
  # Without splitting, an axis must be whole sides of the slice: no mesh of
  # fsdp=2, tensor=2 on a v5p:4x1x1.
  options: Any = dict(devices=devices, allow_split_physical_axes=True)
  if num_slices == 1:
    placed = mesh_utils.create_device_mesh(inner, **options)
  else:
    outer = (num_slices, *[1] * len(inner[1:]))
    placed = mesh_utils.create_hybrid_device_mesh(inner, outer, **options)
  return Mesh(placed, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))


def _slice_of(device: Any) -> int:
  """The TPU slice of a device; 0 of others, whose links all axes cross."""
  # Devices of a topology of one slice have no such attribute.
  return getattr(device, "slice_index", 0) if device.platform == "tpu" else 0


def _sizes(axis_sizes: Mapping[str, int], num_devices: int) -> list[int]:
  """Size of each of `MESH_AXES`; the one that is -1 gets the rest."""
  unknown = set(axis_sizes) - set(MESH_AXES)
  if unknown:
    raise ValueError(
      f"mesh axes {sorted(unknown)} are not among {', '.join(MESH_AXES)}."
    )
  sizes = [axis_sizes.get(axis, 1) for axis in MESH_AXES]
  free = [i for i, size in enumerate(sizes) if size == -1]
  known = 1
  for size in sizes:
    known *= 1 if size == -1 else size
  if len(free) == 1 and known > 0 and num_devices % known == 0:
    sizes[free[0]] = num_devices // known
  elif free or min(sizes) < 1 or known != num_devices:
    shown = ", ".join(f"{a}={s}" for a, s in zip(MESH_AXES, sizes, strict=True))
    raise ValueError(
      f"mesh {shown} does not cover {num_devices} device(s): the sizes must"
      " multiply to that number; at most one may be -1, for the rest."
    )
  return sizes


def spec_of(
  axes: Sequence[str], shape: Sequence[int], mesh: Mesh
) -> PartitionSpec:
  """The `PartitionSpec` of an array with logical `axes` and `shape`.

  Raises:
    ValueError: An axis is not in `RULES`, or its size is not divisible by the
      devices it would be split over.
  """
  parts = []
  for axis, size in zip(axes, shape, strict=True):
    if axis not in RULES:
      raise ValueError(f"logical axis {axis!r} is not one of {list(RULES)}.")
    ways = 1
    for mesh_axis in RULES[axis]:
      ways *= mesh.shape[mesh_axis]
    if size % ways:
      raise ValueError(
        f"axis {axis!r} of size {size} cannot be split {ways} ways over mesh"
        f" axes {RULES[axis]}: choose mesh sizes that divide it."
      )
    parts.append(RULES[axis] or None)
  return PartitionSpec(*parts)


def shardings_of(shapes: Any, axes: Any, mesh: Mesh) -> Any:
  """Tree of `NamedSharding` for a tree of shapes and one of logical axes."""
  return jax.tree.map(
    lambda shape, names: NamedSharding(mesh, spec_of(names, shape.shape, mesh)),
    shapes,
    axes,
  )


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Sharding of [B, T] batch arrays: rows over `data` and `fsdp`."""
  return NamedSharding(mesh, PartitionSpec(RULES["batch"]))


def num_batch_shards(mesh: Mesh) -> int:
  """Ways the rows of a batch are split."""
  return math.prod(mesh.shape[axis] for axis in RULES["batch"])


def mesh_ways(axes: Sequence[str]) -> int:
  """Ways that mesh axes split something, on the surrounding `jax.set_mesh`.

  Without a mesh 1.
  """
  mesh = jax.sharding.get_abstract_mesh()
  return 1 if mesh.empty else math.prod(mesh.shape[axis] for axis in axes)


def constrain(x: jax.Array, *axes: str) -> jax.Array:
  """Asks the compiler to lay `x` out by logical axes; no mesh, no effect.

  Takes the mesh of the surrounding `jax.set_mesh`.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  spec = PartitionSpec(*(RULES[axis] or None for axis in axes))
  return jax.lax.with_sharding_constraint(x, spec)


def place_batch(batch: Any, mesh: Mesh) -> Any:
  """A whole batch, equal on every process, as arrays split by `batch`.

  Each process puts what its own devices hold there.
  """
  sharding = batch_sharding(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_callback(x.shape, sharding, x.__getitem__),
    batch,
  )
