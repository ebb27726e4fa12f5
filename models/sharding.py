# SPDX-License-Identifier: Apache-2.0
"""Meshes and the one table that says which axis of what goes where.

Model code names logical axes; only this table knows the mesh.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
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

  Args:
    axis_sizes: Size of each mesh axis; one may be -1 for "the rest"; an axis
      not named has size 1.
    devices: All devices of the process group by default.

  Returns:
    A mesh of `AxisType.Auto` axes (JAX's default is Explicit, under which a
    sharded embedding gather is an error).

  Raises:
    ValueError: Unknown axis, or sizes that do not multiply to the number of
      devices.
  """
  devices = list(jax.devices() if devices is None else devices)
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
  if len(free) == 1 and known > 0 and len(devices) % known == 0:
    sizes[free[0]] = len(devices) // known
  elif free or min(sizes) < 1 or known != len(devices):
    shown = ", ".join(f"{a}={s}" for a, s in zip(MESH_AXES, sizes, strict=True))
    raise ValueError(
      f"mesh {shown} does not cover {len(devices)} device(s): the sizes must"
      " multiply to that number; at most one may be -1, for the rest."
    )
  return jax.make_mesh(
    tuple(sizes),
    MESH_AXES,
    axis_types=(AxisType.Auto,) * len(MESH_AXES),
    devices=devices,
  )


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
  return mesh.shape["data"] * mesh.shape["fsdp"]


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
  """This process's rows of a batch, as global arrays split by `batch`."""
  sharding = batch_sharding(mesh)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, x), batch
  )
