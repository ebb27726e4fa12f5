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


def _of(line, sizes=_SIZES, **options):
  text = (
    "ENTRY %main (x: f32[8]) -> f32[8] {\n"
    "  %x = f32[8]{0} parameter(0)\n"
    f"  ROOT %r = {line}\n}}\n"
  )
  return hlo_collectives.find_collectives(text, _AXES, sizes, **options)


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


def _send(kind):
  # libtpu 0.0.42: a device hands an array to its host, and takes one from it.
  return (
    "(f32[8]{0:T(128)}, u32[], token[]) send(%x, %after), channel_id=2,"
    " is_host_transfer=true, frontend_attributes={"
    '_xla_host_transfer_handler_name="xla_megascale_runtime",'
    '_xla_host_transfer_rendezvous="all-reduce.1_0",'
    f'_xla_megascale_transfer_type="{kind}"}}'
  )


@pytest.mark.parametrize(
  ("given", "kind", "of_two", "of_four"),
  [
    # 32 bytes are given: there and back, to scatter, to exchange, to pass on.
    ("ALL_REDUCE", "all-reduce", 32, 48),
    ("REDUCE_SCATTER", "reduce-scatter", 16, 24),
    ("ALL_TO_ALL", "all-to-all", 16, 24),
    ("ONE_TO_ONE", "collective-permute", 32, 32),
    # The part of one, to each of the others.
    ("ALL_GATHER", "all-gather", 32, 96),
  ],
)
def test_what_hosts_exchange_between_slices_is_counted(
  given, kind, of_two, of_four
):
  for sizes, sent in (((2, 2, 2), of_two), ((4, 2, 1), of_four)):
    (found,) = _of(_send(given), sizes, num_slices=sizes[0])
    assert found == Collective(kind, "data", 1, sent, True, True)
    assert found.name == f"{kind} between slices"


def test_what_a_device_tells_its_own_host_is_no_collective():
  line = _send("ALL_REDUCE").replace("_xla_megascale", "_of_a_callback")
  assert not _of(line, num_slices=2)
  received = _send("ALL_REDUCE").replace(" send(%x, ", " recv(")
  assert not _of(received, num_slices=2)


def test_an_exchange_of_a_kind_that_is_not_known_is_named():
  with pytest.raises(
    ValueError, match="by 'BROADCAST', which is none of ALL_G"
  ):
    _of(_send("BROADCAST"), num_slices=2)


@pytest.mark.parametrize(
  ("sizes", "groups", "axes"),
  [
    ((2, 2, 2), "{{0,1,2,3}}", "fsdp+tensor"),
    ((2, 2, 2), "{}", "fsdp+tensor"),
    # Half of `data` lies in a slice: no network is crossed along it.
    ((4, 2, 1), "{{0,2},{1,3}}", "data"),
  ],
)
def test_the_groups_of_one_slice_stay_in_it(sizes, groups, axes):
  line = f"f32[8]{{0}} all-reduce(%x), replica_groups={groups}, to_apply=%sum"
  (found,) = _of(line, sizes, num_slices=2)
  assert (found.axes, found.between_slices) == (axes, False)
  assert found.name == f"all-reduce over {axes}"


# libtpu 0.0.42: one gather, that starts in a fusion of its own, runs along a
# matmul in the next, and is done in the last.
_CHAIN = """\
%start (p.0: bf16[4]) -> bf16[16] {
  %p.0 = bf16[4]{0} parameter(0)
  %gather.0 = bf16[16]{0} all-gather(%p.0), channel_id=3, replica_groups={{0,1,2,3},{4,5,6,7}}, frontend_attributes={chain_id="1"}, backend_config={"async_collective_fusion_config":{"flag_start":"-1","flag_end":"-1"}}
  ROOT %c.0 = bf16[16]{0} custom-call(%gather.0), custom_call_target="AsyncCollectiveStart"
}

%along (p.1: bf16[4]) -> bf16[16] {
  %p.1 = bf16[4]{0} parameter(0)
  ROOT %gather.1 = bf16[16]{0} all-gather(%p.1), channel_id=3, replica_groups={{0,1,2,3},{4,5,6,7}}, frontend_attributes={chain_id="1"}, backend_config={"async_collective_fusion_config":{"flag_start":"2","flag_end":"8"}}
}

%done (p.2: bf16[4]) -> bf16[16] {
  %p.2 = bf16[4]{0} parameter(0)
  %gather.2 = bf16[16]{0} all-gather(%p.2), channel_id=3, replica_groups={{0,1,2,3},{4,5,6,7}}, frontend_attributes={chain_id="1"}, backend_config={"async_collective_fusion_config":{"flag_start":"2","flag_end":"8"}}
  ROOT %c.2 = bf16[16]{0} custom-call(%gather.2), custom_call_target="AsyncCollectiveDone"
}

ENTRY %main (x: bf16[4]) -> bf16[16] {
  %x = bf16[4]{0} parameter(0)
  %f.0 = bf16[16]{0} fusion(%x), kind=kCustom, calls=%start
  %f.1 = bf16[16]{0} fusion(%f.0), kind=kOutput, calls=%along
  ROOT %f.2 = bf16[16]{0} fusion(%f.1), kind=kCustom, calls=%done
}
"""


def test_a_gather_along_matmuls_counts_once():
  (found,) = hlo_collectives.find_collectives(_CHAIN, _AXES, _SIZES)
  # 32 bytes, of which a quarter was there.
  assert found == Collective("all-gather", "fsdp+tensor", 1, 24, True)


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
