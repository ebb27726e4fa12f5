# SPDX-License-Identifier: Apache-2.0
"""Floors of a step, by hand."""

import dataclasses

import pytest
from tiny_plans import described

from ramjax.tools import step_floors, topologies
from ramjax.tools.hlo_collectives import Collective


def test_8b_sft_needs_three_times_16_gflop_a_token_at_4096():
  run = described("sft_llama3_1_8b")
  flops = step_floors.flops(run) / run.batch.tokens.size
  # Published accounts of the same count: 16.08 GFLOP forward.
  assert flops / 3 == pytest.approx(16.08e9, rel=2e-3)


def test_a_reference_in_the_step_adds_a_forward_pass_and_a_cached_one_none():
  dpo = step_floors.flops(described("dpo_llama3_1_8b"))
  cached = step_floors.flops(described("dpo_llama3_1_8b", reference__cache="c"))
  assert dpo == pytest.approx(cached * 4 / 3)


def test_adapters_spare_the_gradients_of_frozen_weights():
  whole = step_floors.flops(described("sft_llama3_1_8b"))
  adapters = step_floors.flops(described("sft_llama3_1_8b", lora__rank=8))
  assert adapters == pytest.approx(whole * 2 / 3)


def test_full_rematerialisation_runs_a_forward_pass_again():
  run = described("sft_llama3_1_8b")
  assert step_floors.flops(run, with_remat=True) == pytest.approx(
    step_floors.flops(run) * 4 / 3
  )
  kept = described("sft_llama3_1_8b", model__remat="none")
  assert step_floors.flops(kept, with_remat=True) == step_floors.flops(kept)


def test_ppo_trains_two_models():
  run = described("ppo_llama3_1_8b")
  alone = dataclasses.replace(run, critic_config=None)
  ratio = step_floors.flops(run) / step_floors.flops(alone)
  # The critic has no LM head: 1.05 GFLOP of 16.08 a token.
  assert ratio == pytest.approx(2 - 1.05 / 16.08, rel=1e-3)


def test_the_range_runs_from_the_largest_floor_to_the_sum_of_all():
  run = described("sft_llama3_1_8b")
  topology = topologies.find_topology("v5p:2x2x2")
  sent = [Collective("all-gather", "fsdp", 1, 540e9, True)]
  floors = step_floors.step_floors(run, topology, sent)
  assert floors.network_s == 1.0
  assert floors.compute_s == pytest.approx(
    step_floors.flops(run, with_remat=True) / 8 / 459e12
  )
  assert floors.fastest_s == max(floors.compute_s, 1.0)
  assert floors.slowest_s == pytest.approx(
    2 * floors.compute_s + floors.memory_s + 1.0
  )


def test_what_goes_between_slices_takes_the_slow_network_and_data_may_not():
  run = described("sft_llama3_1_8b")
  two = topologies.find_topology("v5p:2x2x1", num_slices=2)

  def network_s(**options):
    sent = [
      Collective("all-reduce", "data", 1, 6.25e9, True, **options),
      Collective("all-gather", "fsdp", 1, 540e9, True),
    ]
    return step_floors.step_floors(run, two, sent).network_s

  # 25 GB/s for the four chips of a host; 540 for each in a slice.
  assert network_s(between_slices=True) == pytest.approx(2)
  assert network_s() == pytest.approx(1 + 6.25 / 540)


@pytest.mark.parametrize(
  ("mesh", "axes", "rate"),
  [
    # Within a node: NVLink.
    (dict(data=2, fsdp=8), "fsdp", 450e9),
    (dict(fsdp=2, tensor=8), "tensor", 450e9),
    # Over two nodes, by one adapter of 50 GB/s, by four, by all eight.
    (dict(data=2, fsdp=8), "data", 50e9),
    (dict(fsdp=8, tensor=2), "fsdp", 4 * 50e9),
    (dict(fsdp=16), "fsdp", 8 * 50e9),
    (dict(data=2, fsdp=8), "data+fsdp", 8 * 50e9),
  ],
)
def test_between_nodes_gpus_have_the_adapters_of_their_group(mesh, axes, rate):
  whole = dict(data=1, fsdp=1, sequence=1, tensor=1) | mesh
  sent = Collective("all-gather", axes, 1, 1e12, True)
  topology = topologies.find_topology("h100:16")
  seconds = step_floors._network_s(sent, topology, whole)
  assert seconds == pytest.approx(1e12 / rate)


def test_memory_moves_weights_thrice_a_part_and_the_update_once():
  run = described("sft_llama3_1_8b")
  again = dataclasses.replace(
    run, config=run.config.copy_and_resolve_references()
  )
  again.config.data.num_microbatches = 2
  more = step_floors.memory_traffic(again) - step_floors.memory_traffic(run)
  assert more == 3 * 2 * run.model_config.num_parameters
