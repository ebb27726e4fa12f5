# SPDX-License-Identifier: Apache-2.0
"""What a plan asks a compiler, and what it reads off the answer."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.configs import dpo_tiny
from ramjax.models import sharding
from ramjax.tools import plan_compile, topologies
from ramjax.trainers import abstract_run


def test_a_tree_weighs_what_a_device_holds_of_it():
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})

  def placed(shape, dtype, *axes):
    return jax.ShapeDtypeStruct(
      shape, dtype, sharding=NamedSharding(mesh, PartitionSpec(*axes))
    )

  tree = {
    "split": placed((8, 6), jnp.float32, "fsdp", "tensor"),
    "whole": placed((5,), jnp.bfloat16),
  }
  # 2 x 3 float32 and 5 bfloat16.
  assert plan_compile.tree_bytes(tree) == 24 + 10


def test_memory_is_told_by_what_it_is():
  run = abstract_run.describe_run(dpo_tiny.get_config(), jax.devices()[:1])
  memory = plan_compile.memory_by_category(run)
  assert set(memory) == {"parameters", "optimizer state", "reference", "batch"}
  parameters = 4 * run.model_config.num_parameters
  assert memory["parameters"] == memory["reference"] == parameters
  # Two moments, and counts.
  assert 2 * parameters < memory["optimizer state"] < 2 * parameters + 100


def test_a_step_compiles_for_this_machine_too():
  run = abstract_run.describe_run(dpo_tiny.get_config(), jax.devices())
  cpu = topologies.Device("cpu", "cpu", 2**34, 1e11, 1e10, 1e10, 1e9, 1e9)
  here = topologies.Topology("cpu", "cpu", cpu, 8, 8, 1, 1, "")
  compiled = plan_compile.compile_step(run, here)
  assert compiled.fits and compiled.reason == ""
  state = compiled.argument_bytes - compiled.memory["batch"]
  assert compiled.donated_bytes == pytest.approx(state, rel=0.01)
  assert {c.axes for c in compiled.collectives} == {"fsdp"}
  small = topologies.Topology(
    "cpu",
    "cpu",
    topologies.Device("cpu", "cpu", 1.0, 1, 1, 1, 1, 1),
    8,
    8,
    1,
    1,
    "",
  )
  assert not plan_compile.compile_step(run, small).fits


@pytest.mark.parametrize(
  ("message", "wanted"),
  [
    (
      "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required"
      " for HLO temporaries (153.88G) exceeds available HBM (95.74G).",
      153.88 * 2**30,
    ),
    ("RESOURCE_EXHAUSTED: Used 18.06G of 15.75G hbm.", 18.06 * 2**30),
    ("RESOURCE_EXHAUSTED: vmem", 0.0),
  ],
)
def test_what_was_wanted_is_read_off_the_error(message, wanted):
  assert plan_compile._wanted(message) == pytest.approx(wanted)


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("v5e:2x4", r"pip install 'ramjax\[plan\]'"),
    ("h100:8", rf"pip install 'jax\[cuda12\]=={jax.__version__}'"),
  ],
)
def test_without_the_compiler_it_says_what_to_install(monkeypatch, name, said):
  monkeypatch.setattr(plan_compile.importlib.util, "find_spec", lambda _: None)
  with pytest.raises(plan_compile.PlanError, match=said):
    plan_compile.target_devices(topologies.find_topology(name))


def test_gpus_are_compiled_for_as_a_run_on_them_is():
  config: Any = jax.config
  assert config.jax_optimization_level == "UNKNOWN"
  with plan_compile._like_a_gpu_run():
    assert config.jax_optimization_level == "O1"
    config.update("jax_optimization_level", "O2")
    with plan_compile._like_a_gpu_run():
      assert config.jax_optimization_level == "O2"
  assert config.jax_optimization_level == "UNKNOWN"
