# SPDX-License-Identifier: Apache-2.0
"""Compiles a train step for accelerators that are not here."""

import dataclasses
import importlib.util
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import jax

from ramjax.tools import hlo_collectives
from ramjax.tools.hlo_collectives import Collective
from ramjax.tools.topologies import Topology
from ramjax.trainers.abstract_run import AbstractRun

# libtpu asks a cloud's metadata server, and the environment, what it runs on;
# here it runs on nothing.
_TPU_ENVIRONMENT = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_ACCELERATOR_TYPE": "v5litepod-8",
  # Several of these may compile at once: no device is taken.
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_OUT_OF_MEMORY = re.compile(
  r"(?:total memory required[^(]*|Used )\(?([\d.]+)([KMGT])\)? ?(?:exceeds"
  r" available|of) (?:HBM \()?([\d.]+)([KMGT])"
)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class PlanError(ValueError):
  """A step cannot be compiled here, or at all."""


@dataclasses.dataclass(frozen=True)
class Compiled:
  """What a compiler says of a step.

  Attributes:
    fits: Whether it compiled, and its peak is within the device's memory.
    peak_bytes: Per device; of a step that does not fit, what it wants where the
      compiler says so.
    argument_bytes: State and batch, per device.
    donated_bytes: Of the state, written over in place.
    memory: Bytes per device by category.
    collectives: What moves between devices.
    compile_s: Seconds it took.
    reason: Why it does not fit; "" if it does.
  """

  fits: bool
  peak_bytes: float
  argument_bytes: float
  donated_bytes: float
  memory: Mapping[str, float]
  collectives: list[Collective]
  compile_s: float
  reason: str


def target_devices(topology: Topology) -> list[Any]:
  """The devices of a topology, as JAX describes them.

  Raises:
    PlanError: The compiler for them is not installed.
  """
  from jax.experimental import topologies as jax_topologies

  if topology.device.platform != "tpu":
    raise PlanError(
      f"--topology={topology.name}: only TPUs can be compiled for here."
    )
  if importlib.util.find_spec("libtpu") is None:
    raise PlanError(
      "compiling for TPUs needs libtpu, which needs no TPU: pip install"
      " 'ramjax[plan]'."
    )
  for name, value in _TPU_ENVIRONMENT.items():
    os.environ.setdefault(name, value)
  description = jax_topologies.get_topology_desc(
    topology.name, "tpu", **_tpu_options(topology)
  )
  devices = list(description.devices)
  kind = devices[0].device_kind
  # An unknown name means TPU v2 to libtpu.
  if kind != topology.device.kind or len(devices) != topology.num_devices:
    raise PlanError(
      f"libtpu takes {topology.name} for {len(devices)} devices of {kind!r},"
      f" not {topology.num_devices} of {topology.device.kind!r}."
    )
  return devices


def _tpu_options(topology: Topology) -> dict[str, Any]:
  options: dict[str, Any] = {}
  if topology.generation == "v4":
    # One device a chip, as programs see it; the default would be two.
    options["chip_config_name"] = "megacore"
  if topology.num_devices == topology.num_slices:
    options["chips_per_host_bounds"] = [1, 1, 1]
  if topology.num_slices > 1:
    options["num_slices"] = topology.num_slices
  return options


def compile_step(run: AbstractRun, topology: Topology) -> Compiled:
  """Compiles one update; that it does not fit is a result, not an error.

  Args:
    run: On the devices of `topology`.
    topology: What it is for.
  """
  arguments = memory_by_category(run)
  started = time.monotonic()
  lowered = run.trace().lower(lowering_platforms=(topology.device.platform,))
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    message = str(error)
    if "RESOURCE_EXHAUSTED" not in message:
      raise
    return Compiled(
      fits=False,
      peak_bytes=_wanted(message),
      argument_bytes=sum(arguments.values()),
      donated_bytes=0.0,
      memory=arguments,
      collectives=[],
      compile_s=time.monotonic() - started,
      reason=message.splitlines()[0],
    )
  seconds = time.monotonic() - started
  stats = compiled.memory_analysis()
  peak = float(stats.peak_memory_in_bytes)
  limit = topology.device.memory_bytes
  rest = max(peak - sum(arguments.values()), 0.0)
  return Compiled(
    fits=peak <= limit,
    peak_bytes=peak,
    argument_bytes=float(stats.argument_size_in_bytes),
    donated_bytes=float(stats.alias_size_in_bytes),
    memory={**arguments, "activations and gradients": rest},
    collectives=hlo_collectives.find_collectives(
      compiled.as_text(), run.mesh.axis_names, list(run.mesh.shape.values())
    ),
    compile_s=seconds,
    reason=""
    if peak <= limit
    else f"a peak of {peak / 2**30:.2f} GiB exceeds {limit / 2**30:.2f} GiB.",
  )


def memory_by_category(run: AbstractRun) -> dict[str, float]:
  """Bytes that lie on each device before a step, by what they are."""
  state = run.state
  categories = {
    "parameters": state.params,
    "optimizer state": state.opt_state,
    "frozen parameters": state.frozen,
    "moving average": state.ema,
    "reference": (state.reference, state.moving),
    "batch": run.batch,
  }
  sizes = {name: tree_bytes(tree) for name, tree in categories.items()}
  return {name: size for name, size in sizes.items() if size}


def tree_bytes(tree: Any) -> float:
  """Bytes of a tree of placed shapes on one device."""
  total = 0.0
  for leaf in jax.tree.leaves(tree):
    shape = leaf.sharding.shard_shape(leaf.shape)
    size = 1
    for side in shape:
      size *= side
    total += size * leaf.dtype.itemsize
  return total


def _wanted(message: str) -> float:
  """What a step would have needed, of the compiler's words; 0 if not said."""
  match = _OUT_OF_MEMORY.search(message)
  return float(match[1]) * _UNITS[match[2]] if match else 0.0
