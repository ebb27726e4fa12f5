# SPDX-License-Identifier: Apache-2.0
"""Which mesh, rematerialisation and microbatches are fastest, of those that fit.

Candidates are ordered by an estimate, and compiled in that order: the first
that fits is nearly the fastest, and a few more make sure of it.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import ml_collections

from ramjax.models import sharding
from ramjax.models.sharding import MESH_AXES
from ramjax.tools import host_copies, plan_compile, step_floors
from ramjax.tools.plan_compile import Compiled
from ramjax.tools.step_floors import Floors
from ramjax.tools.topologies import Topology
from ramjax.trainers import abstract_run
from ramjax.trainers.abstract_run import AbstractRun

# From what keeps most to what keeps least, and of equal estimates the first is
# compiled first: "offload", whose copies may not hide as well as they should,
# goes behind what needs none and computes little more again.
_REMATS = ("none", "dots", "save_qkv", "save_attention", "offload", "full")
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
  mesh: tuple[int, ...]  # As `MESH_AXES` are ordered.
  remat: str
  parts: int

  @property
  def overrides(self) -> str:
    sizes = zip(MESH_AXES, self.mesh, strict=True)
    mesh = " ".join(f"--config.mesh.{axis}={size}" for axis, size in sizes)
    return (
      f"{mesh} --config.model.remat={self.remat}"
      f" --config.data.num_microbatches={self.parts}"
    )

  def applied_to(
    self, config: ml_collections.ConfigDict
  ) -> ml_collections.ConfigDict:
    """`config` with these values."""
    changed = config.copy_and_resolve_references()
    changed.mesh.update(dict(zip(MESH_AXES, self.mesh, strict=True)))
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
  """Compiles the candidates that should be fastest, at most `most`.

  The config as it is given is one of them. All split rows as it does: what
  `mesh.sequence` costs and saves, no estimate here tells. Every policy of
  `models/remat.py` is tried, but for "offload" on GPUs.

  Raises:
    ValueError: What the run itself would refuse of the config, where nothing
      else may fit either.
  """
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


def nearest(tried: Sequence[Tried]) -> Tried:
  """Of those that do not fit, the one that wants least, as far as is known."""
  return min(tried, key=lambda one: one.compiled.peak_bytes or math.inf)


def _ordered(
  config: ml_collections.ConfigDict,
  topology: Topology,
  devices: Sequence[Any],
) -> list[tuple[float, _Candidate]]:
  """Candidates that the run takes and that may fit, the fastest first.

  What is given is one of them: last, where it should not fit.
  """
  given = _given(config, devices)
  sequence = config.mesh.sequence
  if isinstance(given, AbstractRun):
    sequence = given.mesh.shape["sequence"]
  runs = dict(_candidates(config, topology, devices, sequence))
  as_given = None
  if isinstance(given, AbstractRun):
    as_given = _Candidate(
      tuple(given.mesh.shape[axis] for axis in MESH_AXES),
      config.model.remat,
      config.data.num_microbatches,
    )
    runs.setdefault(as_given, given)
  may_fit = _ESTIMATE_SLACK * topology.device.memory_bytes
  ordered = []
  for candidate, run in runs.items():
    is_large = estimated_bytes(run) > may_fit
    # What is given is better compiled, to say why not, than left out.
    if candidate == as_given or not is_large:
      seconds = estimated_seconds(run, topology)
      ordered.append((is_large, seconds, candidate))
  if isinstance(given, ValueError) and not ordered:
    raise given
  ordered.sort(key=lambda one: one[:2])
  return [(seconds, candidate) for _, seconds, candidate in ordered]


def _given(
  config: ml_collections.ConfigDict, devices: Sequence[Any]
) -> AbstractRun | ValueError:
  """The run of the config as it is, or why there is none."""
  try:
    return abstract_run.describe_run(config, devices)
  except ValueError as error:
    return error


def _candidates(
  config: ml_collections.ConfigDict,
  topology: Topology,
  devices: Sequence[Any],
  sequence: int,
) -> Iterator[tuple[_Candidate, AbstractRun]]:
  """All that the run takes, with what each would be."""
  rows = config.data.batch_size
  for mesh in _meshes(topology, sequence):
    # The arrays are the same for all of a mesh: described once.
    whole = _Candidate(mesh, config.model.remat, parts=1)
    try:
      described = abstract_run.describe_run(whole.applied_to(config), devices)
    except ValueError:
      continue  # The batch or an axis does not divide.
    ways = sharding.num_batch_shards(described.mesh)
    counts = range(1, rows // ways + 1)
    for remat, parts in itertools.product(_remats(topology), counts):
      if rows % (parts * ways):
        continue
      candidate = _Candidate(mesh, remat, parts)
      model_config = dataclasses.replace(described.model_config, remat=remat)
      yield (
        candidate,
        dataclasses.replace(
          described,
          config=candidate.applied_to(described.config),
          model_config=model_config,
        ),
      )


def _remats(topology: Topology) -> tuple[str, ...]:
  """All policies; of GPUs without "offload", which none was compiled for yet."""
  if topology.device.platform == "tpu":
    return _REMATS
  return tuple(remat for remat in _REMATS if remat != "offload")


def _meshes(topology: Topology, sequence: int) -> list[tuple[int, ...]]:
  """Slices along data, heads and MLP along tensor, the rest along fsdp."""
  data = topology.num_slices
  rest = topology.num_devices // data
  return [
    (data, rest // (sequence * tensor), sequence, tensor)
    for tensor in _TENSOR
    if sequence > 0 and rest % (sequence * tensor) == 0
  ]


def estimated_bytes(run: AbstractRun) -> float:
  """Bytes of a device's memory that a step should need, within a sixth."""
  config, shape = run.model_config, run.mesh.shape
  held = sum(plan_compile.memory_by_category(run).values())
  gradients = plan_compile.tree_bytes(run.state.params)
  kept = _tokens_at_once(run) * config.num_layers * _kept_per_token(config)
  itemsize = jnp.dtype(config.dtype).itemsize
  per_layer = config.num_parameters / config.num_layers / shape["tensor"]
  return held + gradients + kept / shape["tensor"] + 2 * itemsize * per_layer


def _tokens_at_once(run: AbstractRun) -> float:
  rows, length = run.batch.tokens.shape
  ways = sharding.num_batch_shards(run.mesh) * run.mesh.shape["sequence"]
  return rows * length / ways / run.config.data.num_microbatches


def _kept_per_token(config: Any) -> float:
  """Bytes that a layer keeps of a token: the table of `models/remat.py`.

  What "offload" keeps besides lies on the host.
  """
  query = config.num_heads * config.head_dim
  key = config.num_kv_heads * config.head_dim
  numbers = {
    "none": 3 * query + 3 * key + 6 * config.width + 4 * config.mlp_width,
    "dots": query + 2 * key + 2 * config.width + 2 * config.mlp_width,
    "save_qkv": 2 * query + 2 * key,
    "save_attention": query,
  }
  kept = config.width + numbers.get(config.remat, 0)
  return jnp.dtype(config.dtype).itemsize * kept


def estimated_seconds(run: AbstractRun, topology: Topology) -> float:
  """Seconds of a step: matmuls at half of their peak, and the network's.

  And the wait for what was on the host, if it is not there in time.
  """
  device, shape = topology.device, run.mesh.shape
  config, parts = run.model_config, run.config.data.num_microbatches
  compute = step_floors.flops(run, with_remat=True) / topology.num_devices
  itemsize = jnp.dtype(config.dtype).itemsize
  weights = config.num_parameters * itemsize / shape["tensor"]
  # Gathered for the forward and the backward pass, and reduced in float32.
  gathered = weights * (1 - 1 / shape["fsdp"]) * (2 * parts + 4 / itemsize)
  # Two sums of activations forward and two backward, of each layer.
  tokens = _tokens_at_once(run) * parts
  summed = 4 * config.num_layers * tokens * config.width * itemsize
  summed *= 2 * (1 - 1 / shape["tensor"])
  network = (gathered + summed) / device.link_bytes_per_s
  busy = compute / device.flops_per_s / step_floors.SLOW_SHARE
  memory = step_floors.memory_traffic(run) / device.memory_bytes_per_s
  host = host_copies.waited_s(run, topology, busy)
  return math.fsum((busy, network, memory, host))
