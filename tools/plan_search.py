# SPDX-License-Identifier: Apache-2.0
"""Which mesh, rematerialisation and microbatches are fastest, of those that fit.

Candidates are ordered by an estimate, and compiled in that order: the first
that fits is nearly the fastest, and a few more make sure of it.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections

from ramjax.tools import plan_compile, step_floors
from ramjax.tools.plan_compile import Compiled
from ramjax.tools.step_floors import Floors
from ramjax.tools.topologies import Topology
from ramjax.trainers import abstract_run
from ramjax.trainers.abstract_run import AbstractRun

# From what keeps most to what keeps least.
_REMATS = ("none", "dots", "save_qkv", "save_attention", "full")
# Heads and MLP go no further apart than the chips of a host.
_TENSOR = (1, 2, 4, 8)
# Of the memory that an estimate may be wrong by.
_ESTIMATE_SLACK = 1.15
# Compiled after the first that fits, in case the estimate misjudged.
_AFTER_THE_FIRST = 2


@dataclasses.dataclass(frozen=True)
class Tried:
  """One candidate.

  Attributes:
    overrides: As options of the command line.
    run: What was compiled.
    compiled: What came of it.
    floors: How fast it can be.
  """

  overrides: str
  run: AbstractRun
  compiled: Compiled
  floors: Floors


@dataclasses.dataclass(frozen=True)
class _Candidate:
  mesh: tuple[int, int, int]  # data, fsdp, tensor
  remat: str
  parts: int

  @property
  def overrides(self) -> str:
    data, fsdp, tensor = self.mesh
    return (
      f"--config.mesh.data={data} --config.mesh.fsdp={fsdp}"
      f" --config.mesh.tensor={tensor} --config.model.remat={self.remat}"
      f" --config.data.num_microbatches={self.parts}"
    )

  def applied_to(
    self, config: ml_collections.ConfigDict
  ) -> ml_collections.ConfigDict:
    """`config` with these values."""
    changed = config.copy_and_resolve_references()
    data, fsdp, tensor = self.mesh
    changed.mesh.update(data=data, fsdp=fsdp, sequence=1, tensor=tensor)
    changed.model.remat = self.remat
    changed.data.num_microbatches = self.parts
    return changed


def search(
  config: ml_collections.ConfigDict,
  topology: Topology,
  devices: Sequence[Any],
  *,
  most: int,
  say: Callable[[str], None],
) -> list[Tried]:
  """Compiles the candidates that should be fastest, at most `most`."""
  ordered = _ordered(config, topology, devices)
  say(f"{len(ordered)} candidates; compiling at most {most}")
  tried: list[Tried] = []
  left = most
  for estimate, candidate in ordered:
    if left == 0:
      break
    left -= 1
    say(f"compiling {candidate.overrides} (estimate {estimate:.3g} s) ...")
    run = abstract_run.describe_run(candidate.applied_to(config), devices)
    compiled = plan_compile.compile_step(run, topology)
    floors = step_floors.step_floors(run, topology, compiled.collectives)
    tried.append(Tried(candidate.overrides, run, compiled, floors))
    if compiled.fits:
      left = min(left, _AFTER_THE_FIRST)
  return tried


def fastest(tried: Sequence[Tried]) -> Tried | None:
  """Of those that fit, the one whose slower expectation is least."""
  fitting = [
    (one.floors.slowest_s, place, one)
    for place, one in enumerate(tried)
    if one.compiled.fits
  ]
  return min(fitting)[2] if fitting else None


def _ordered(
  config: ml_collections.ConfigDict,
  topology: Topology,
  devices: Sequence[Any],
) -> list[tuple[float, _Candidate]]:
  """Candidates that the run takes and that may fit, the fastest first."""
  found = []
  for mesh in _meshes(topology):
    # The arrays are the same for all of a mesh: described once.
    whole = _Candidate(mesh, config.model.remat, parts=1)
    try:
      described = abstract_run.describe_run(whole.applied_to(config), devices)
    except ValueError:
      continue  # The batch or an axis does not divide.
    rows, ways = config.data.batch_size, mesh[0] * mesh[1]
    for remat, parts in itertools.product(_REMATS, range(1, rows // ways + 1)):
      if rows % (parts * ways):
        continue
      candidate = _Candidate(mesh, remat, parts)
      run = dataclasses.replace(
        described,
        config=candidate.applied_to(described.config),
        model_config=dataclasses.replace(described.model_config, remat=remat),
      )
      if estimated_bytes(run) <= _ESTIMATE_SLACK * topology.device.memory_bytes:
        found.append((estimated_seconds(run, topology), candidate))
  if not found:
    # Better to compile what is given and say why not than to say nothing.
    run = abstract_run.describe_run(config, devices)
    shape = run.mesh.shape
    given = _Candidate(
      (shape["data"], shape["fsdp"], shape["tensor"]),
      config.model.remat,
      config.data.num_microbatches,
    )
    found.append((estimated_seconds(run, topology), given))
  return sorted(found, key=lambda one: one[0])


def _meshes(topology: Topology) -> list[tuple[int, int, int]]:
  """Slices along data, heads and MLP along tensor, the rest along fsdp."""
  data = topology.num_slices
  rest = topology.num_devices // data
  return [
    (data, rest // tensor, tensor) for tensor in _TENSOR if rest % tensor == 0
  ]


def estimated_bytes(run: AbstractRun) -> float:
  """Bytes of a device's memory that a step should need, within a sixth."""
  config, shape = run.model_config, run.mesh.shape
  held = sum(plan_compile.memory_by_category(run).values())
  gradients = plan_compile.tree_bytes(run.state.params)
  kept = _tokens_at_once(run) * config.num_layers * _kept_per_token(config)
  itemsize = 2 if config.dtype == "bfloat16" else 4
  per_layer = config.num_parameters / config.num_layers / shape["tensor"]
  return held + gradients + kept / shape["tensor"] + 2 * itemsize * per_layer


def _tokens_at_once(run: AbstractRun) -> float:
  rows, length = run.batch.tokens.shape
  ways = run.mesh.shape["data"] * run.mesh.shape["fsdp"]
  return rows * length / ways / run.config.data.num_microbatches


def _kept_per_token(config: Any) -> float:
  """Bytes that a layer keeps of a token: the table of `models/remat.py`."""
  itemsize = 2 if config.dtype == "bfloat16" else 4
  query = config.num_heads * config.head_dim
  key = config.num_kv_heads * config.head_dim
  numbers = {
    "none": 3 * query + 3 * key + 6 * config.width + 4 * config.mlp_width,
    "dots": query + 2 * key + 2 * config.width + 2 * config.mlp_width,
    "save_qkv": 2 * query + 2 * key,
    "save_attention": query,
  }
  return itemsize * (config.width + numbers.get(config.remat, 0))


def estimated_seconds(run: AbstractRun, topology: Topology) -> float:
  """Seconds of a step: matmuls at half of their peak, and the network's."""
  device, shape = topology.device, run.mesh.shape
  config, parts = run.model_config, run.config.data.num_microbatches
  compute = step_floors.flops(run, with_remat=True) / topology.num_devices
  itemsize = 2 if config.dtype == "bfloat16" else 4
  weights = config.num_parameters * itemsize / shape["tensor"]
  # Gathered for the forward and the backward pass, and reduced in float32.
  gathered = weights * (1 - 1 / shape["fsdp"]) * (2 * parts + 4 / itemsize)
  # Two sums of activations forward and two backward, of each layer.
  tokens = _tokens_at_once(run) * parts
  summed = 4 * config.num_layers * tokens * config.width * itemsize
  summed *= 2 * (1 - 1 / shape["tensor"])
  network = (gathered + summed) / device.link_bytes_per_s
  busy = compute / device.flops_per_s / step_floors.SLOW_SHARE
  return math.fsum(
    (busy, network, step_floors.memory_traffic(run) / device.memory_bytes_per_s)
  )
