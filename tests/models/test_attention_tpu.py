# SPDX-License-Identifier: Apache-2.0
"""TPU compilers take the kernels and policies, without a TPU at hand."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
import tiny_topology

from ramjax.models import attention, llama, presets, sharding

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(tiny_topology.is_missing(), reason=tiny_topology.REASON),
]

_LENGTH = 4096
_TOPOLOGIES = ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"]


def _compiled(mesh, head_dim, *, branched=False, window=None):
  """Forward and backward of 32 heads on 8, in bfloat16, on all devices."""

  def shape(heads):
    axes = ("batch", "length", "kv_heads", "activation")
    rows = sharding.num_batch_shards(mesh)
    return tiny_topology.batch_shape(
      (rows, _LENGTH, heads, head_dim), axes, jnp.bfloat16, mesh
    )

  ids = tiny_topology.batch_shape(
    shape(8).shape[:2], ("batch", "length"), jnp.int32, mesh
  )

  def total(query, key, value, segment_ids, branch_ids):
    output = attention.attend(
      query,
      key,
      value,
      segment_ids=segment_ids,
      branch_ids=branch_ids if branched else None,
      window=window,
      backend="splash",
    )
    return jnp.sum(jnp.square(output.astype(jnp.float32)))

  return tiny_topology.compile_on(
    mesh, jax.grad(total, (0, 1, 2)), shape(32), shape(8), shape(8), ids, ids
  )


@pytest.mark.parametrize("branched", [False, True])
@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("topology", _TOPOLOGIES)
def test_splash_compiles_and_its_blocks_fit(topology, head_dim, branched):
  devices = tiny_topology.devices(topology)
  mesh = sharding.make_mesh(dict(fsdp=2, tensor=2), devices)
  program = _compiled(mesh, head_dim, branched=branched)
  # Forward, and two backward; with branches, each of them twice.
  assert program.as_text().count("tpu_custom_call") == (6 if branched else 3)


@pytest.mark.parametrize("kind", [dict(branched=True), dict(window=1000)])
def test_splash_compiles_for_rows_over_several_devices(kind):
  devices = tiny_topology.devices("v5e:2x4")
  mesh = sharding.make_mesh(dict(fsdp=2, sequence=2, tensor=2), devices)
  text = _compiled(mesh, 128, **kind).as_text()
  assert "tpu_custom_call" in text and "all-gather" in text


def _layers(policy):
  """Gradients of two narrow layers, rows of 512, on four v5p."""
  config = dataclasses.replace(
    presets.PRESETS["llama3_1_8b"],
    width=256,
    mlp_width=512,
    num_heads=4,
    num_kv_heads=2,
    num_layers=2,
    vocab_size=512,
    dtype="bfloat16",
    remat=policy,
    attention="splash",
  )
  devices = tiny_topology.devices("v5p:2x2x1")
  mesh = sharding.make_mesh(dict(fsdp=4), devices)
  shapes, _ = llama.abstract_params(config)
  params = jax.tree.map(
    lambda leaf, placed: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=placed
    ),
    shapes,
    llama.param_shardings(config, mesh),
  )
  tokens = tiny_topology.batch_shape(
    (4, 512), ("batch", "length"), jnp.int32, mesh
  )

  def total(params, tokens):
    hidden = llama.apply(params, config, tokens, positions=tokens)
    return jnp.sum(hidden.astype(jnp.float32))

  return tiny_topology.compile_on(mesh, jax.grad(total), params, tokens)


def test_kept_attention_is_one_kernel_less():
  # Forward, forward again, and two backward.
  assert _layers("full").as_text().count("tpu_custom_call") == 4
  assert _layers("save_attention").as_text().count("tpu_custom_call") == 3


def test_offloaded_values_are_in_the_memory_of_the_host():
  # A row of 512 tokens, two layers, 2NH + 2KH numbers of two bytes.
  expected = 512 * 2 * (2 * 4 * 128 + 2 * 2 * 128) * 2
  memory = _layers("offload").memory_analysis()
  assert memory.host_temp_size_in_bytes >= expected


def test_slices_are_told_apart_by_data_alone():
  devices = tiny_topology.devices("v5e:2x2", num_slices=2)
  mesh = sharding.make_mesh(dict(data=2, fsdp=-1, tensor=2), devices)
  assert dict(mesh.shape) == dict(data=2, fsdp=2, sequence=1, tensor=2)
  for number, slice_devices in enumerate(mesh.devices):
    assert {d.slice_index for d in slice_devices.flat} == {number}
  with pytest.raises(ValueError, match=r"data=1 .* of the 2 slices"):
    sharding.make_mesh(dict(fsdp=8), devices)
