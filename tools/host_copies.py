# SPDX-License-Identifier: Apache-2.0
"""What a step waits for its host, where `model.remat` is "offload"."""

import math

import jax.numpy as jnp

from ramjax.models.sharding import MESH_AXES
from ramjax.tools.topologies import Topology
from ramjax.trainers.abstract_run import AbstractRun

# Of a step's arithmetic, with full rematerialisation, that goes before the
# backward pass begins.
_FORWARD_SHARE = 0.25


def waited_s(run: AbstractRun, topology: Topology, busy_s: float) -> float:
  """Seconds of copies to the host and back that matmuls do not hide.

  XLA copies beside them: what leaves has the forward pass for it, what comes
  back the rest of the step.

  Args:
    run: What is trained.
    topology: Where.
    busy_s: Of the matmuls of a step.
  """
  if run.model_config.remat != "offload":
    return 0.0
  seconds = offloaded_bytes(run) / topology.device.host_bytes_per_s
  beside = (_FORWARD_SHARE * busy_s, (1 - _FORWARD_SHARE) * busy_s)
  return math.fsum(max(seconds - hidden, 0.0) for hidden in beside)


def offloaded_bytes(run: AbstractRun) -> float:
  """Bytes that a device has on its host, of all microbatches of a step.

  Each layer's attention, as "save_qkv" keeps it: see `models/remat.py`.
  """
  config, shape = run.model_config, run.mesh.shape
  numbers = 2 * (config.num_heads + config.num_kv_heads) * config.head_dim
  ways = math.prod(shape[axis] for axis in MESH_AXES)
  tokens = run.batch.tokens.size / ways
  itemsize = jnp.dtype(config.dtype).itemsize
  return tokens * config.num_layers * numbers * itemsize
