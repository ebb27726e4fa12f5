# SPDX-License-Identifier: Apache-2.0
"""How fast a step can be: floors by arithmetic, memory and network.

No time is measured. A floor is what the data sheet's peak would take; the range
that is expected runs from all three at once, at their peaks, to one after the
other with the matmuls at half of theirs. (Published runs reach 35 to 65 % of
the matmul peak: MaxText's Llama 2 70B on v5p 65, Llama 3.1 8B on v6e 41.)
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from ramjax.models.config import LlamaConfig
from ramjax.models.sharding import MESH_AXES
from ramjax.tools import host_copies, plan_compile
from ramjax.tools.hlo_collectives import Collective
from ramjax.tools.model_flops import model_flops
from ramjax.tools.topologies import Topology
from ramjax.trainers.abstract_run import AbstractRun

# Of the matmul peak, in the slower of the two expectations.
SLOW_SHARE = 0.5
# Forward, and the gradients of inputs and of weights.
_TRAINED, _FROZEN_TRAINED, _FORWARD = 3, 2, 1
# Of the reads and writes of an update: parameters, two moments and gradients
# read, parameters and two moments written.
_UPDATE_PASSES = 7


@dataclasses.dataclass(frozen=True)
class Floors:
  """Of one step.

  Attributes:
    tokens: Places of the batch, padding included.
    model_flops: What the tokens need, on all devices.
    hardware_flops: With what rematerialisation computes again.
    compute_s: At the peak of matmuls.
    memory_s: To read and write weights, moments and kept activations.
    network_s: To send what the collectives send.
    host_s: Waited for what "offload" has on the host, while matmuls go on at
      `SLOW_SHARE` of their peak; none are waited for in the faster expectation.
    fastest_s: The largest of the first three.
    slowest_s: The sum of the four, with matmuls at `SLOW_SHARE` of their peak.
  """

  tokens: int
  model_flops: float
  hardware_flops: float
  compute_s: float
  memory_s: float
  network_s: float
  host_s: float
  fastest_s: float
  slowest_s: float


def step_floors(
  run: AbstractRun, topology: Topology, collectives: Sequence[Collective]
) -> Floors:
  """The floors of a step in which every place holds a supervised token."""
  rows, length = run.batch.tokens.shape
  device = topology.device
  of_model = flops(run)
  of_hardware = flops(run, with_remat=True)
  compute_s = of_hardware / topology.num_devices / device.flops_per_s
  memory_s = memory_traffic(run) / device.memory_bytes_per_s
  network_s = sum(_network_s(c, topology, run.mesh.shape) for c in collectives)
  busy_s = compute_s / SLOW_SHARE
  host_s = host_copies.waited_s(run, topology, busy_s)
  return Floors(
    tokens=rows * length,
    model_flops=of_model,
    hardware_flops=of_hardware,
    compute_s=compute_s,
    memory_s=memory_s,
    network_s=network_s,
    host_s=host_s,
    fastest_s=max(compute_s, memory_s, network_s),
    slowest_s=busy_s + memory_s + network_s + host_s,
  )


def flops(run: AbstractRun, *, with_remat: bool = False) -> float:
  """Floating-point operations of a step on all devices.

  Args:
    run: What it does: the policy is trained, a reference in the step runs
      forward, a critic is trained.
    with_remat: Count the forward passes that are run again, too.
  """
  rows, length = run.batch.tokens.shape
  counts = dict(
    tokens=rows * length,
    supervised=rows * length,
    pairs=rows * length * (length + 1) / 2,
  )

  def forward(config: LlamaConfig, *, head: bool = True) -> float:
    scored = counts if head else dict(counts, supervised=0)
    return model_flops(config, scored) / 3

  def passes(config: LlamaConfig) -> float:
    units = _TRAINED if config.lora is None else _FROZEN_TRAINED
    return units + _recomputed(config) * with_remat

  policy = run.model_config
  total = forward(policy, head=not policy.num_labels) * passes(policy)
  if run.reference_config is not None:
    total += forward(run.reference_config) * _FORWARD
  if run.critic_config is not None:
    total += forward(run.critic_config, head=False) * passes(run.critic_config)
  return total


def _recomputed(config: LlamaConfig) -> float:
  """Share of a forward pass that the backward pass runs again.

  "dots" and "none" keep the matmuls; "save_attention" spares the attention
  alone, a few per cent at 4,096 tokens, and counts as all.
  """
  return {"none": 0.0, "dots": 0.0}.get(config.remat, 1.0)


def memory_traffic(run: AbstractRun) -> float:
  """Bytes that a device's memory moves in a step, at least.

  Weights as each pass reads them, gathered, for each microbatch; the update;
  each layer's input, written and read.
  """
  config = run.model_config
  itemsize = jnp.dtype(config.dtype).itemsize
  shape = run.mesh.shape
  weights = config.num_parameters / shape["tensor"] * itemsize
  parts = run.config.data.num_microbatches
  update = _UPDATE_PASSES * plan_compile.tree_bytes(run.state.params)
  rows, length = run.batch.tokens.shape
  ways = math.prod(shape[axis] for axis in MESH_AXES if axis != "tensor")
  inputs = rows * length / ways * config.num_layers * config.width * itemsize
  return 3 * parts * weights + update + 2 * inputs


def _network_s(
  collective: Collective, topology: Topology, mesh: Mapping[str, int]
) -> float:
  """Seconds at the peak of the links it crosses.

  What leaves a host goes through the adapters of all members of the group that
  are on it: eight GPUs of a node that gather as one have eight.
  """
  device = topology.device
  together = _members_of_a_host(collective, topology, mesh)
  if together is None:
    return collective.bytes / device.link_bytes_per_s
  rate = min(device.link_bytes_per_s, together * device.network_bytes_per_s)
  return collective.bytes / rate


def _members_of_a_host(
  collective: Collective, topology: Topology, mesh: Mapping[str, int]
) -> int | None:
  """Members of a group that share a host; None if it needs no network.

  Devices of a mesh are in the order of their hosts. The hosts of a TPU slice
  are connected as its chips are.
  """
  if topology.device.platform == "tpu":
    return 1 if collective.between_slices else None
  hosts = np.arange(topology.num_devices).reshape(list(mesh.values()))
  hosts //= topology.num_devices // topology.hosts_per_slice
  axes = collective.axes.split("+")
  along = tuple(slice(None) if name in axes else 0 for name in mesh)
  of_group = hosts[along].ravel()
  return None if of_group[0] == of_group[-1] else int(np.sum(of_group == 0))
