# SPDX-License-Identifier: Apache-2.0
"""XLA takes cuDNN's kernels for Hopper GPUs, without a GPU at hand."""

import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tiny_topology

from ramjax.models import attention, attention_cudnn, sharding
from ramjax.tools import plan_compile, topologies

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not any(map(importlib.util.find_spec, plan_compile.CUDA_PLUGINS)),
    reason="JAX's CUDA plug-in is not installed: pip install 'jax[cuda12]'",
  ),
]

_LENGTH = 4096


@pytest.mark.parametrize("window", [None, 1000])
@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("name", ["h100:4", "h200:4"])
def test_packed_rows_compile_to_the_kernels(name, head_dim, window):
  devices = plan_compile.target_devices(topologies.find_topology(name))
  mesh = sharding.make_mesh(dict(fsdp=2, tensor=2), devices)

  def shape(*sides, axes, dtype=jnp.bfloat16):
    return tiny_topology.batch_shape(sides, axes, dtype, mesh)

  axes = ("batch", "length", "kv_heads", "activation")
  query, key = (shape(2, _LENGTH, n, head_dim, axes=axes) for n in (32, 8))
  ids = shape(2, _LENGTH, axes=axes[:2], dtype=jnp.int32)

  def total(query, key, value, segment_ids):
    output = attention.attend(
      query,
      key,
      value,
      segment_ids=segment_ids,
      window=window,
      backend="cudnn",
    )
    return jnp.sum(jnp.square(output.astype(jnp.float32)))

  with attention_cudnn.ahead_of_time(), jax.set_mesh(mesh):
    traced = jax.jit(jax.grad(total, (0, 1, 2))).trace(query, key, key, ids)
    program: Any = traced.lower(lowering_platforms=("cuda",)).compile(
      plan_compile.GPU_OPTIONS
    )
  text = program.as_text()
  for kernel in ("fmhaSoftmax", "fmhaSoftmaxBackward"):
    assert text.count(f'custom_call_target="__cudnn${kernel}"') == 1
  # Of 16 heads, a row's logits in bfloat16 would be half a GiB.
  assert program.memory_analysis().temp_size_in_bytes < 2**29
