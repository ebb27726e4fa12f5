# SPDX-License-Identifier: Apache-2.0
"""Plans for GPUs that are not here; where JAX's CUDA plug-in is installed."""

import importlib.util

import pytest

from ramjax.configs import dpo_tiny
from ramjax.tools import plan_compile, step_floors, topologies
from ramjax.trainers import abstract_run

pytestmark = pytest.mark.skipif(
  not any(map(importlib.util.find_spec, plan_compile.CUDA_PLUGINS)),
  reason="JAX's CUDA plug-in is not installed: pip install 'jax[cuda12]'",
)


def _config(**mesh):
  """DPO as cuDNN's kernels take it: bfloat16, and no shared prompt."""
  config = dpo_tiny.get_config()
  config.model.dtype = "bfloat16"
  config.data.share_prompt = False
  config.data.batch_size = 16
  config.mesh.update(mesh)
  return config


def _compiled(config, name):
  topology = topologies.find_topology(name)
  devices = plan_compile.target_devices(topology)
  run = abstract_run.describe_run(config, devices)
  return run, topology, plan_compile.compile_step(run, topology)


@pytest.mark.parametrize(
  ("name", "kind", "hosts"),
  [("h200:1", "NVIDIA H200", 1), ("h100:16", "NVIDIA H100 80GB HBM3", 2)],
)
def test_devices_are_what_the_name_says(name, kind, hosts):
  topology = topologies.find_topology(name)
  devices = plan_compile.target_devices(topology)
  assert len(devices) == topology.num_devices
  assert {d.device_kind for d in devices} == {kind}
  assert topologies.find_device(kind) == topology.device
  # Floors count on the order of devices being that of the nodes.
  assert [d.process_index for d in devices] == sorted(
    n % hosts for n in range(len(devices))
  )


@pytest.mark.slow
def test_a_tiny_run_on_two_nodes_compiles_with_its_state_in_place():
  run, topology, compiled = _compiled(_config(data=2), "h200:16")
  assert run.model_config.attention == "cudnn"
  assert compiled.fits
  assert compiled.donated_bytes >= 0.99 * (
    compiled.argument_bytes - compiled.memory["batch"]
  )
  found = {(c.kind, c.axes) for c in compiled.collectives}
  # Weights are gathered within a node, and gradients summed between them.
  assert ("all-gather", "fsdp") in found
  assert found & {("all-reduce", "data"), ("all-reduce", "data+fsdp")}
  floors = step_floors.step_floors(run, topology, compiled.collectives)
  assert 0 < floors.fastest_s < floors.slowest_s


@pytest.mark.slow
def test_what_does_not_fit_is_told_though_the_compiler_does_not():
  config = _config()
  config.data.batch_size = 2**16
  _, topology, compiled = _compiled(config, "h100:1")
  assert not compiled.fits
  assert compiled.peak_bytes > topology.device.memory_bytes
  assert "GiB exceeds 75.14 GiB" in compiled.reason


def test_a_gpu_that_xla_was_not_described_is_refused():
  topology = topologies.find_topology("b200:8")
  with pytest.raises(ValueError, match="without one are h100, h200"):
    plan_compile.target_devices(topology)
