# SPDX-License-Identifier: Apache-2.0
"""Compiles a train step for accelerators that are not here."""

import contextlib
import dataclasses
import importlib.util
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.experimental import topologies as jax_topologies

from ramjax.models import attention_cudnn
from ramjax.tools import gpu_targets, hlo_collectives
from ramjax.tools.hlo_collectives import Collective
from ramjax.tools.topologies import Topology
from ramjax.trainers import compilation
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
# By the major version of CUDA.
CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
# Which matmul is fastest is found by running them, and nothing runs here: the
# compiler's first choice is taken.
GPU_OPTIONS: Any = {"xla_gpu_autotune_level": 0}
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
    ValueError: A GPU that XLA cannot be told of.
  """
  if missing := missing_compiler(topology):
    raise PlanError(missing)
  if topology.device.platform == "cuda":
    return _gpu_devices(topology)
  return _tpu_devices(topology)


def missing_compiler(topology: Topology) -> str:
  """What to install to compile for a topology; "" if it is there."""
  if topology.device.platform == "cuda":
    if any(map(importlib.util.find_spec, CUDA_PLUGINS)):
      return ""
    return (
      "compiling for GPUs needs JAX's CUDA plug-in, which needs no GPU (5 GB on"
      f" disk): pip install 'jax[cuda12]=={jax.__version__}'."
    )
  if importlib.util.find_spec("libtpu") is not None:
    return ""
  return (
    "compiling for TPUs needs libtpu, which needs no TPU: pip install"
    " 'ramjax[plan]'."
  )


def _tpu_devices(topology: Topology) -> list[Any]:
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


def _gpu_devices(topology: Topology) -> list[Any]:
  nodes = topology.hosts_per_slice
  description = jax_topologies.get_topology_desc(
    topology.generation,
    "cuda",
    topology=f"1x{nodes}x{topology.num_devices // nodes}",
    target_config=gpu_targets.target_config(topology),
  )
  return list(description.devices)


def compile_step(run: AbstractRun, topology: Topology) -> Compiled:
  """Compiles one update; that it does not fit is a result, not an error.

  Args:
    run: On the devices of `topology`.
    topology: What it is for.
  """
  arguments = memory_by_category(run)
  started = time.monotonic()
  platform = topology.device.platform
  on_gpu = platform == "cuda"
  try:
    with _like_a_gpu_run() if on_gpu else contextlib.nullcontext():
      lowered = run.trace().lower(lowering_platforms=(platform,))
      compiled = lowered.compile(GPU_OPTIONS if on_gpu else None)
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
  if on_gpu:
    # There, what a program needs for itself is one block, from start to end.
    new = stats.output_size_in_bytes - stats.alias_size_in_bytes
    taken = stats.argument_size_in_bytes + new + stats.temp_size_in_bytes
    peak = max(peak, float(taken))
  limit = topology.device.memory_bytes
  rest = max(peak - sum(arguments.values()), 0.0)
  return Compiled(
    fits=peak <= limit,
    peak_bytes=peak,
    argument_bytes=float(stats.argument_size_in_bytes),
    donated_bytes=float(stats.alias_size_in_bytes),
    memory={**arguments, "activations and gradients": rest},
    collectives=hlo_collectives.find_collectives(
      compiled.as_text(),
      run.mesh.axis_names,
      list(run.mesh.shape.values()),
      num_slices=topology.num_slices,
    ),
    compile_s=seconds,
    reason=""
    if peak <= limit
    else f"a peak of {peak / 2**30:.2f} GiB exceeds {limit / 2**30:.2f} GiB.",
  )


@contextlib.contextmanager
def _like_a_gpu_run() -> Iterator[None]:
  """JAX as a run on Hopper GPUs has it: its level, and what cuDNN can do."""
  config: Any = jax.config
  level = config.jax_optimization_level
  if level == "UNKNOWN":
    config.update("jax_optimization_level", compilation.GPU_LEVEL)
  try:
    with attention_cudnn.ahead_of_time():
      yield
  finally:
    config.update("jax_optimization_level", level)


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
