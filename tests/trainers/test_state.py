# SPDX-License-Identifier: Apache-2.0
"""The train state: made on the mesh, moments beside their parameters."""

import jax
import numpy as np
import pytest

from ramjax.models import llama, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import optimizers
from ramjax.trainers.state import init_state

_CONFIG = LlamaConfig(
  vocab_size=32,
  width=16,
  mlp_width=32,
  num_layers=2,
  num_heads=4,
  num_kv_heads=4,
  head_dim=8,
)


def _state(name, **options):
  mesh = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  params = llama.init_params(_CONFIG, jax.random.key(0), mesh)
  optimizer = optimizers.make_optimizer(
    name,
    lambda _: 0.1,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.1,
    clip_norm=1.0,
  )
  options = {"seed": 0, "with_ema": False, **options}
  return init_state(params, optimizer, mesh=mesh, **options)


@pytest.mark.parametrize("name", ["adamw", "lion", "muon"])
def test_every_moment_lies_as_its_parameter_does(name):
  state = _state(name)
  kernel = state.params["layers"]["mlp"]["up"]["kernel"]
  assert kernel.addressable_shards[0].data.shape == (2, 4, 16)
  moments = [
    leaf
    for leaf in jax.tree.leaves(state.opt_state)
    if leaf.shape == kernel.shape
  ]
  assert moments
  for moment in moments:
    assert moment.addressable_shards[0].data.size < moment.size


def test_adafactors_statistics_are_replicated():
  state = _state("adafactor")
  shapes = {leaf.shape for leaf in jax.tree.leaves(state.params)}
  others = [
    leaf
    for leaf in jax.tree.leaves(state.opt_state)
    if leaf.shape not in shapes
  ]
  assert any(leaf.ndim for leaf in others)
  assert all(leaf.sharding.is_fully_replicated for leaf in others)


def test_the_moving_average_starts_at_the_parameters_in_its_own_buffers():
  state = _state("adamw", with_ema=True)
  for ema, param in zip(
    jax.tree.leaves(state.ema), jax.tree.leaves(state.params), strict=True
  ):
    np.testing.assert_array_equal(ema, param)
    ema.delete()
    assert not param.is_deleted()


def test_a_moving_reference_starts_at_the_parameters_in_its_own_buffers():
  state = _state("adamw", moving_reference=True)
  for moving, param in zip(
    jax.tree.leaves(state.moving), jax.tree.leaves(state.params), strict=True
  ):
    np.testing.assert_array_equal(moving, param)
    assert moving.sharding == param.sharding
    moving.delete()
    assert not param.is_deleted()


def test_the_reference_is_the_moving_one_where_there_is_one():
  fixed = {"norm": {"scale": np.zeros(16, np.float32)}}
  assert _state("adamw").all_reference == {}
  assert _state("adamw", reference=fixed).all_reference is fixed
  state = _state("adamw", moving_reference=True, frozen={"base": np.ones(1)})
  assert state.all_reference.keys() == {*state.params, "base"}
  for name, tree in state.moving.items():
    assert state.all_reference[name] == tree


def test_carried_scalars_are_float32_on_every_device():
  state = _state("adamw", carried={"bco/log_ratio_mean": 0.5})
  value = state.carried["bco/log_ratio_mean"]
  assert value.dtype == np.float32 and value.shape == () and value == 0.5
  assert value.sharding.is_fully_replicated
  assert len(value.sharding.device_set) == 8
