# SPDX-License-Identifier: Apache-2.0
"""What a search expects of a policy, above all of what lies on the host."""

import dataclasses

import jax
import pytest
from tiny_plans import described

from ramjax.configs import dpo_tiny
from ramjax.models import remat
from ramjax.tools import plan_search, step_floors, topologies
from ramjax.tools.plan_compile import Compiled
from ramjax.tools.plan_search import Tried

# What `test_host_copies` has.
_OFFLOADED = 5 * 2**30
_V5P = topologies.find_topology("v5p:2x2x2")


def _of_8b(policy):
  return described("sft_llama3_1_8b", model__remat=policy)


@pytest.mark.parametrize(
  ("topology", "left_out"), [("v5e:2x4", set()), ("h100:8", {"offload"})]
)
def test_every_policy_is_tried_but_offload_on_gpus(topology, left_out):
  ordered = plan_search._ordered(
    dpo_tiny.get_config(), topologies.find_topology(topology), jax.devices()
  )
  policies = {candidate.remat for _, candidate in ordered}
  assert policies == {"none", *remat.POLICIES} - left_out


def test_what_is_on_the_host_takes_none_of_the_device():
  needed = {
    policy: plan_search.estimated_bytes(_of_8b(policy))
    for policy in remat.POLICIES
  }
  assert needed["offload"] == needed["full"] < needed["save_attention"]
  # TPU's compiler finds peaks of 24.90 and 19.84 GiB: 5.06 apart.
  assert needed["save_qkv"] - needed["offload"] == _OFFLOADED


def test_a_device_too_fast_for_its_bus_does_better_by_computing_again():
  fast = dataclasses.replace(_V5P.device, flops_per_s=1e18)
  too_fast = dataclasses.replace(_V5P, device=fast)
  policies = ("save_attention", "offload", "full")

  def seconds(topology):
    return [
      plan_search.estimated_seconds(_of_8b(policy), topology)
      for policy in policies
    ]

  # Hidden, it counts as the others, and comes in the order of the list.
  first, *others = seconds(_V5P)
  assert others == [first, first]
  order = [name for name in plan_search._REMATS if name in policies]
  assert order == list(policies)
  kept, offloaded, full = seconds(too_fast)
  assert kept == full
  assert offloaded - full == pytest.approx(2 * _OFFLOADED / 15e9, rel=0.01)


def test_of_two_that_fit_the_one_that_waits_for_its_host_is_not_the_fastest():
  run = _of_8b("offload")
  fast = dataclasses.replace(_V5P.device, flops_per_s=1e18)
  topology = dataclasses.replace(_V5P, device=fast)
  floors = step_floors.step_floors(run, topology, [])
  assert floors.host_s > 0
  even = dataclasses.replace(
    floors, host_s=0.0, slowest_s=floors.slowest_s - floors.host_s
  )
  compiled = Compiled(True, 1.0, 1.0, 1.0, {}, [], 1.0, "")
  waits, goes_on = (
    Tried(name, run, compiled, of_one)
    for name, of_one in (("waits", floors), ("goes on", even))
  )
  assert plan_search.fastest([waits, goes_on]) is goes_on
