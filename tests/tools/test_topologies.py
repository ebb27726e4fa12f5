# SPDX-License-Identifier: Apache-2.0
"""Names of accelerators: what people write, and what is refused."""

import pytest

from ramjax.tools import topologies


@pytest.mark.parametrize(
  ("name", "slice_name", "devices", "hosts"),
  [
    ("v5p:4x4x4", "v5p:4x4x4", 64, 16),
    # A number counts cores, of which a chip has two ...
    ("v5p-8", "v5p:2x2x1", 4, 1),
    ("v5p-128", "v5p:4x4x4", 64, 16),
    ("v5p-256", "v5p:4x4x8", 128, 32),
    ("v5p-1024", "v5p:8x8x8", 512, 128),
    ("v5p-12288", "v5p:16x16x24", 6144, 1536),
    ("v4-4096", "v4:8x16x16", 2048, 512),
    # ... or chips.
    ("v5e-16", "v5e:4x4", 16, 4),
    ("v5litepod-256", "v5e:16x16", 256, 64),
    ("v6e-8", "v6e:2x4", 8, 2),
    ("v6e-1", "v6e:1x1", 1, 1),
    ("trillium:2x4", "v6e:2x4", 8, 2),
    # Each of its chips is two devices.
    ("tpu7x:2x2x1", "tpu7x:2x2x1", 8, 1),
    # GPUs in nodes of eight, as clouds or as products write them.
    ("H100:8", "h100:8", 8, 1),
    ("h200:2", "h200:2", 2, 1),
    ("h200x16", "h200:16", 16, 2),
  ],
)
def test_a_name_means_a_slice(name, slice_name, devices, hosts):
  topology = topologies.find_topology(name)
  assert topology.name == slice_name
  assert topology.num_devices == devices
  assert topology.hosts_per_slice == hosts


def test_slices_multiply_devices_and_not_hosts_of_a_slice():
  topology = topologies.find_topology("v5p-128", num_slices=3)
  assert (topology.num_devices, topology.num_slices) == (192, 3)
  assert topology.hosts_per_slice == 16
  assert topology.accelerator_type == "v5p-128"


def test_a_chip_of_two_devices_is_paid_for_once():
  topology = topologies.find_topology("tpu7x:4x4x4")
  assert (topology.num_devices, topology.num_chips) == (128, 64)


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("v5p-100", "no such size; there are v5p-8, 16, 32, 64, 128"),
    ("v5p-7", "7 is odd"),
    ("v5e-12", "there are v5e-1, 4, 8"),
    ("v7x-8", "'v7x' is not one of v4, v5e, v5p, v6e, tpu7x"),
    ("v6p:2x2", "'v6p' is not one of"),
    ("tpu7x-128", "write the shape of the slice, such as tpu7x:4x4x4"),
    ("v5p:1x1x1", "the smallest v5p slice is v5p:2x2x1"),
    ("v5p:3x3x3", "the first two sides are even"),
    ("v5e:4x4x4", "a v5e slice has 2 dimensions"),
    ("v5p:4x4", "a v5p slice has 3 dimensions"),
    ("h100:12", "whole nodes of 8"),
    ("h300:8", "h300 is not one of a100, h100, h200, b200"),
    ("", "is not a topology: write one such as v5p:4x4x4"),
  ],
)
def test_what_cannot_be_mapped_is_refused(name, said):
  with pytest.raises(ValueError, match=said):
    topologies.find_topology(name)


def test_no_slice_and_slices_of_gpus_are_refused():
  with pytest.raises(ValueError, match="--slices=0 must be at least 1"):
    topologies.find_topology("v5e-16", num_slices=0)
  with pytest.raises(ValueError, match="write all GPUs, as in h100:16"):
    topologies.find_topology("h100x8", num_slices=2)


@pytest.mark.parametrize(
  ("kind", "name"),
  [
    ("TPU v5", "v5p"),
    ("TPU v5 lite", "v5e"),
    ("TPU7x", "tpu7x"),
    ("NVIDIA H200", "h200"),
    ("NVIDIA H100 80GB HBM3", "h100"),
    ("NVIDIA A100-SXM4-80GB", "a100"),
  ],
)
def test_a_device_is_known_by_what_it_calls_itself(kind, name):
  suffix = ":1" if name in ("h200", "h100", "a100") else ":2x2"
  suffix = ":2x2x1" if name in ("v5p", "tpu7x") else suffix
  topology = topologies.find_topology(name + suffix)
  assert topologies.find_device(kind) == topology.device


@pytest.mark.parametrize(
  "kind", ["cpu", "", "NVIDIA GH200 480GB", "TPU v4 lite"]
)
def test_another_device_is_not_taken_for_one(kind):
  assert topologies.find_device(kind) is None


def test_a_program_gets_all_but_a_twentieth_of_a_gpu():
  h200 = topologies.find_topology("h200:1").device
  # The driver reports 143,771 MiB.
  assert h200.memory_bytes == pytest.approx(0.95 * 143_771 * 2**20, rel=1e-3)
