# SPDX-License-Identifier: Apache-2.0
"""Sharding: meshes that cover the devices, and specs that name what fails."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from ramjax.models import llama, presets, sharding


def test_minus_one_takes_the_rest():
  mesh = sharding.make_mesh({"fsdp": -1, "tensor": 2})
  assert dict(mesh.shape) == {"data": 1, "fsdp": 4, "sequence": 1, "tensor": 2}
  assert set(mesh.axis_types) == {AxisType.Auto}


def test_mesh_takes_the_devices_it_is_given():
  devices = jax.devices()[3:5]
  mesh = sharding.make_mesh({"data": 2}, devices)
  assert mesh.devices.flatten().tolist() == devices


def test_unknown_mesh_axis_is_refused():
  with pytest.raises(
    ValueError,
    match=r"\['model'\] are not among data, fsdp, sequence, tensor",
  ):
    sharding.make_mesh({"model": 8})


@pytest.mark.parametrize(
  "sizes",
  [
    {},
    {"fsdp": 4},
    {"fsdp": 16},
    {"fsdp": -1, "tensor": 3},
    {"fsdp": -1, "data": -1},
    {"fsdp": -1, "tensor": 0},
    {"data": 8, "tensor": 0},
    {"data": -2, "tensor": -4},
  ],
)
def test_sizes_that_do_not_cover_the_devices_are_refused(sizes):
  with pytest.raises(ValueError, match=r"does not cover 8 device\(s\)"):
    sharding.make_mesh(sizes)


def test_refused_mesh_is_shown_as_it_was_given():
  with pytest.raises(ValueError, match="data=1, fsdp=-1, sequence=1, tensor=3"):
    sharding.make_mesh({"fsdp": -1, "tensor": 3})


@dataclasses.dataclass(frozen=True)
class _Chip:
  """What a mesh asks a TPU device."""

  id: int
  slice_index: int
  coords: tuple[int, int, int]
  core_on_chip: int = 0
  process_index: int = 0
  platform: str = "tpu"
  device_kind: str = "TPU v5 lite"


def _chips(num_slices):
  """Slices of 2 x 2 chips, the last one first."""
  places = [(x, y, 0) for y in range(2) for x in range(2)]
  return [
    _Chip(4 * number + i, number, place)
    for number in reversed(range(num_slices))
    for i, place in enumerate(places)
  ]


def _slices_of(sizes, num_slices):
  """Slice of each device of the mesh [data, fsdp, sequence, tensor]."""
  mesh = sharding.make_mesh(sizes, _chips(num_slices))
  return np.vectorize(lambda device: device.slice_index)(mesh.devices)


def test_data_is_the_outer_axis_over_slices():
  found = _slices_of(dict(data=4, fsdp=-1, tensor=2), 2)
  # Two replicas in each slice, each whole.
  assert found[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
  assert np.all(found == found[:, :1, :1, :1])


def test_data_that_cannot_be_split_over_slices_is_refused():
  with pytest.raises(
    ValueError, match=r"data=2 is not a multiple of the 4 slices: only data"
  ):
    _slices_of(dict(data=2, fsdp=8), 4)


def test_an_axis_may_be_part_of_a_side_of_a_slice():
  # 4 chips in a row: fsdp and tensor are two of them each.
  row = [_Chip(i, 0, (i, 0, 0), device_kind="TPU v5") for i in range(4)]
  mesh = sharding.make_mesh(dict(fsdp=2, tensor=2), row)
  assert {chip.id for chip in mesh.devices.flat} == {0, 1, 2, 3}


def test_nodes_of_gpus_are_no_slices():
  # Each node of a cluster is a slice to JAX, and fsdp crosses their links.
  chips = [
    dataclasses.replace(chip, platform="gpu", device_kind="NVIDIA H200")
    for chip in _chips(2)
  ]
  mesh = sharding.make_mesh(dict(fsdp=8), chips)
  ids = [device.id for device in mesh.devices.flat]
  assert ids == list(range(8))


def test_devices_of_a_cpu_keep_their_order():
  # Those of a process stay together, and so the rows that it reads.
  mesh = sharding.make_mesh(dict(data=2, fsdp=2, tensor=2))
  assert mesh.devices.flatten().tolist() == jax.devices()


def test_ways_are_those_of_the_surrounding_mesh():
  assert sharding.mesh_ways(("data", "sequence")) == 1
  mesh = sharding.make_mesh(dict(data=2, sequence=4))
  with jax.set_mesh(mesh):
    assert sharding.mesh_ways(("data", "sequence")) == 8
    assert sharding.mesh_ways(("tensor",)) == 1


def test_spec_follows_the_rules():
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  spec = sharding.spec_of(("layers", "embed", "mlp"), (3, 32, 48), mesh)
  assert spec == PartitionSpec(None, ("fsdp",), ("tensor",))


def test_unknown_logical_axis_is_refused():
  mesh = sharding.make_mesh({"fsdp": 8})
  with pytest.raises(ValueError, match="logical axis 'experts' is not one of"):
    sharding.spec_of(("experts",), (8,), mesh)


def test_indivisible_axis_is_named_with_its_mesh_axes():
  mesh = sharding.make_mesh({"data": 2, "fsdp": 4})
  with pytest.raises(
    ValueError,
    match=r"axis 'embed' of size 30 cannot be split 4 ways .*'fsdp'",
  ):
    sharding.spec_of(("vocab", "embed"), (64, 30), mesh)
  with pytest.raises(ValueError, match=r"axis 'batch' of size 12 .* 8 ways"):
    sharding.spec_of(("batch", "length"), (12, 5), mesh)


@pytest.mark.parametrize("preset", ["tiny", "llama3_1_8b"])
def test_rules_cover_every_axis_of_the_parameters(preset):
  _, axes = llama.abstract_params(presets.PRESETS[preset])
  named = jax.tree.leaves(axes)
  assert named and set(named) <= set(sharding.RULES)


@pytest.mark.parametrize("axis", sharding.RULES)
def test_rules_name_only_mesh_axes(axis):
  assert set(sharding.RULES[axis]) <= set(sharding.MESH_AXES)


def test_batch_rows_are_split_over_data_and_fsdp():
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  assert sharding.num_batch_shards(mesh) == 4
  rows = np.arange(8 * 3).reshape(8, 3)
  placed = sharding.place_batch({"tokens": rows}, mesh)["tokens"]
  np.testing.assert_array_equal(placed, rows)
  assert placed.sharding == sharding.batch_sharding(mesh)
  assert {s.data.shape for s in placed.addressable_shards} == {(2, 3)}
  # Each of the four parts lies on the two devices of a tensor group.
  starts = [shard.index[0].start for shard in placed.addressable_shards]
  assert sorted(starts) == [0, 0, 2, 2, 4, 4, 6, 6]


def test_constrain_without_a_mesh_is_the_identity():
  x = jnp.ones((2, 3))
  assert sharding.constrain(x, "batch", "length") is x


def test_constrain_lays_out_by_logical_axes():
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "sequence": 2})
  with jax.set_mesh(mesh):
    x = jax.jit(
      lambda x: sharding.constrain(x, "batch", "length", "activation")
    )(jnp.ones((4, 6, 5)))
  assert x.sharding.spec == PartitionSpec(("data", "fsdp"), "sequence")
  assert {s.data.shape for s in x.addressable_shards} == {(1, 3, 5)}
