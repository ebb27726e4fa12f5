# SPDX-License-Identifier: Apache-2.0
"""Collectives of a program: kinds, axes and bytes, by hand and compiled."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.models import sharding
from ramjax.tools import hlo_collectives
from ramjax.tools.hlo_collectives import Collective

_AXES, _SIZES = ("data", "fsdp", "tensor"), (2, 2, 2)


def _of(line):
  text = (
    "ENTRY %main (x: f32[8]) -> f32[8] {\n"
    "  %x = f32[8]{0} parameter(0)\n"
    f"  ROOT %r = {line}\n}}\n"
  )
  return hlo_collectives.find_collectives(text, _AXES, _SIZES)


@pytest.mark.parametrize(
  ("groups", "axes"),
  [
    ("replica_groups={{0,1},{2,3},{4,5},{6,7}}", "tensor"),
    ("replica_groups={{0,4},{1,5},{2,6},{3,7}}", "data"),
    ("replica_groups=[4,2]<=[8]", "tensor"),
    ("replica_groups=[4,2]<=[2,2,2]T(0,2,1)", "fsdp"),
    ("replica_groups=[2,4]<=[4,2]T(1,0)", "data+fsdp"),
    ("replica_groups=mesh['a'=2,'b'=2,'c'=2] {'a','c'}", "data+tensor"),
    ("replica_groups={}", "data+fsdp+tensor"),
    # As one number less than another, they are of all.
    ("channel_id=1", "data+fsdp+tensor"),
  ],
)
def test_groups_name_the_axes_they_cross(groups, axes):
  (found,) = _of(f"f32[8]{{0}} all-reduce(%x), {groups}, to_apply=%sum")
  assert (found.kind, found.axes, found.count) == ("all-reduce", axes, 1)


@pytest.mark.parametrize(
  ("line", "sent"),
  [
    # 32 bytes, of which half came from the other.
    ("f32[8]{0} all-gather(%x), replica_groups=[4,2]<=[8]", 16),
    (
      "(f32[4]{0}, f32[8]{0}) all-gather-start(%x), replica_groups=[4,2]<=[8]",
      16,
    ),
    # GPUs' come in tuples of what goes in and what comes out.
    (
      "((f32[4]{0}, bf16[4]{0}), (f32[8]{0}, bf16[8]{0}))"
      " all-gather-start(%x, %y), replica_groups=[4,2]<=[8]",
      24,
    ),
    (
      "((f32[8]{0}), f32[4]{0}) reduce-scatter-start(%x),"
      " replica_groups=[4,2]<=[8]",
      16,
    ),
    (
      "((f32[8]{0}), f32[8]{0}) all-to-all-start(%x),"
      " replica_groups=[4,2]<=[8]",
      16,
    ),
    ("f32[8]{0} all-reduce-start(%x), replica_groups=[4,2]<=[8]", 32),
    # There and back.
    ("f32[8]{0} all-reduce(%x), replica_groups=[4,2]<=[8]", 32),
    ("(f32[8]{0}, bf16[8]{0}) all-reduce(%x), replica_groups=[4,2]<=[8]", 48),
    # 32 bytes stay of 64.
    ("f32[8]{0} reduce-scatter(%x), replica_groups=[4,2]<=[8]", 32),
    ("bf16[8]{0} all-to-all(%x), replica_groups=[2,4]<=[8]", 12),
    ("u8[8]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}", 8),
    (
      "(f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%x),"
      " source_target_pairs={{0,2},{2,0}}",
      32,
    ),
  ],
)
def test_bytes_sent_by_hand(line, sent):
  (found,) = _of(line)
  assert found.bytes == sent


def test_a_group_of_one_sends_nothing():
  assert not _of("f32[8]{0} all-reduce(%x), replica_groups=[8,1]<=[8]")


def test_a_compiled_loop_gathers_in_each_turn():
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  split = NamedSharding(mesh, PartitionSpec(None, "fsdp", None))

  def f(weights, x):
    def body(x, weight):
      return jnp.tanh(x @ weight), None

    return jax.lax.scan(body, x, weights)[0]

  weights = jax.ShapeDtypeStruct((6, 32, 32), jnp.float32, sharding=split)
  x = jax.ShapeDtypeStruct(
    (64, 32),
    jnp.float32,
    sharding=NamedSharding(mesh, PartitionSpec(("fsdp", "tensor"))),
  )
  text = jax.jit(f, out_shardings=x.sharding).lower(weights, x).compile()
  found = hlo_collectives.find_collectives(
    text.as_text(), mesh.axis_names, list(mesh.shape.values())
  )
  gathers = [c for c in found if c.kind == "all-gather"]
  # Six matrices of 32 x 32 float32, of which each device has a quarter.
  assert gathers == [
    Collective("all-gather", "fsdp", 6, 6 * 32 * 32 * 4 * 3 / 4, True)
  ]
