# SPDX-License-Identifier: Apache-2.0
"""TPUs that are not there: what JAX compiles for where libtpu is installed."""

import importlib.util
import os
from typing import Any

import jax
from jax.experimental import topologies

from ramjax.models import sharding

REASON = "libtpu is not installed (the extra `plan`)"


def is_missing() -> bool:
  """Whether there is no compiler for TPU."""
  return importlib.util.find_spec("libtpu") is None


def devices(name: str, *, num_slices: int = 1) -> list[Any]:
  """Devices of a topology such as "v5e:2x2"."""
  # No metadata server is asked; without hosts libtpu writes errors; and several
  # processes may compile at once.
  os.environ |= {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  }
  options = {} if num_slices == 1 else {"num_slices": num_slices}
  found = topologies.get_topology_desc(name, "tpu", **options).devices
  # An empty name would silently be a v2.
  assert all("TPU v" in device.device_kind for device in found)
  return list(found)


def compile_on(mesh: jax.sharding.Mesh, function: Any, *args: Any) -> Any:
  """The program of a function of `jax.ShapeDtypeStruct`s on a mesh."""
  with jax.set_mesh(mesh):
    lowered = jax.jit(function).trace(*args).lower(lowering_platforms=("tpu",))
    return lowered.compile()


def batch_shape(
  shape: tuple[int, ...], axes: tuple[str, ...], dtype: Any, mesh: Any
) -> jax.ShapeDtypeStruct:
  """An array of a batch, as it lies on a mesh, by its logical axes."""
  spec = sharding.spec_of(axes, shape, mesh)
  placed = jax.sharding.NamedSharding(mesh, spec)
  return jax.ShapeDtypeStruct(shape, dtype, sharding=placed)
