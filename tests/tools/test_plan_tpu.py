# SPDX-License-Identifier: Apache-2.0
"""Plans that TPU's own compiler makes; where the extra `plan` is installed."""

import importlib.util
import json

import pytest

from ramjax.configs import dpo_tiny, sft_llama3_1_8b
from ramjax.tools import check_plans, plan_compile, step_floors, topologies
from ramjax.trainers import abstract_run

pytestmark = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="libtpu is not installed: pip install 'ramjax[plan]'",
)


def _compiled(config, name, **options):
  topology = topologies.find_topology(name, **options)
  devices = plan_compile.target_devices(topology)
  run = abstract_run.describe_run(config, devices)
  return run, topology, plan_compile.compile_step(run, topology)


@pytest.mark.parametrize(
  "name", ["v4-8", "v5e:2x2", "v5p:2x2x1", "v6e-1", "v6e:2x2", "tpu7x:2x2x1"]
)
def test_each_generation_is_what_its_name_says(name):
  topology = topologies.find_topology(name)
  devices = plan_compile.target_devices(topology)
  assert {d.device_kind for d in devices} == {topology.device.kind}


def test_a_tiny_run_compiles_with_its_state_in_place():
  run, topology, compiled = _compiled(dpo_tiny.get_config(), "v5e:2x2")
  assert run.model_config.attention == "splash"
  assert compiled.fits
  assert compiled.donated_bytes >= 0.99 * (
    compiled.argument_bytes - compiled.memory["batch"]
  )
  floors = step_floors.step_floors(run, topology, compiled.collectives)
  assert 0 < floors.fastest_s < floors.slowest_s


def test_the_gradient_alone_crosses_slices():
  config = dpo_tiny.get_config()
  config.mesh.data = 2
  run, topology, compiled = _compiled(config, "v5e:2x2", num_slices=2)
  (crossing,) = [c for c in compiled.collectives if c.between_slices]
  assert (crossing.kind, crossing.axes) == ("all-reduce", "data")
  # A device's part of the gradient, and all of the tied head's, which the loss
  # adds up by itself; half of it there and half of it back, for two slices.
  head = 4 * run.model_config.vocab_size * run.model_config.width
  gradient = plan_compile.tree_bytes(run.state.params)
  assert crossing.bytes == pytest.approx(gradient + head, rel=0.01)
  assert {c.axes for c in compiled.collectives if c != crossing} == {"fsdp"}
  floors = step_floors.step_floors(run, topology, compiled.collectives)
  # 25 GB/s for the four chips of a host.
  assert floors.network_s > crossing.bytes / 6.25e9


def test_what_lies_on_the_host_compiles_over_all_axes():
  config = dpo_tiny.get_config()
  config.mesh.update(fsdp=2, sequence=2, tensor=2)
  config.data.num_microbatches = 2
  config.model.remat = "offload"
  _, _, compiled = _compiled(config, "v5e:2x4")
  assert compiled.fits and compiled.peak_bytes > 0


def test_8b_does_not_fit_eight_v5e_and_the_compiler_says_by_how_much():
  config = sft_llama3_1_8b.get_config()
  # Fewer layers compile no faster, and a batch of a row a device fits no more.
  config.data.batch_size = 8
  _, _, compiled = _compiled(config, "v5e:2x4")
  assert not compiled.fits and compiled.peak_bytes > 15.75 * 2**30


def test_a_large_run_still_fits_and_moves_no_more_than_was_accepted():
  # Of those that `make check-plans` compiles, one that takes two minutes.
  cases = json.loads(check_plans._CASES.read_text())
  (case,) = [
    c for c in cases if check_plans._name(c) == "sft_llama3_1_70b on v5p:4x4x4"
  ]
  measured, unfit = check_plans.check(case)
  grown, _ = check_plans.differences(case["accepted"], measured)
  assert not unfit and not grown
  # Those of the 80 layers were found.
  before, now = (
    sum(of["collectives"].values()) for of in (case["accepted"], measured)
  )
  assert now > 0.9 * before
