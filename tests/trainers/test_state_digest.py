# SPDX-License-Identifier: Apache-2.0
"""Digests of a state: the same on any mesh, saved with it, compared by name."""

import jax
import jax.numpy as jnp
import pytest
import tiny_checkpoints
from jax.sharding import PartitionSpec

from ramjax.models import sharding
from ramjax.models.saved_digests import Damaged
from ramjax.trainers import state_digest

_ITEMS = {"params": {"w": jnp.ones((2, 3)), "deep": (jnp.int32(4),)}}


def test_leaves_are_named_by_their_path():
  assert state_digest.describe(_ITEMS) == {
    "params": {
      "deep/0": {"dtype": "int32", "shape": []},
      "w": {"dtype": "float32", "shape": [2, 3]},
    }
  }


def test_a_state_has_one_digest_on_every_mesh():
  specs = {
    "weight": PartitionSpec("fsdp", "tensor"),
    "half": PartitionSpec(("fsdp", "tensor")),
  }
  found = []
  for axes in ({"fsdp": 4}, {"fsdp": 2, "tensor": 2}, {"fsdp": 1, "tensor": 4}):
    mesh = sharding.make_mesh(axes, jax.devices()[:4])
    state = tiny_checkpoints.state(1, mesh, specs=specs)
    found.append(state_digest.of_all({"params": state.params}))
  assert found[0] == found[1] == found[2]
  other = tiny_checkpoints.state(2).params
  assert state_digest.of_all({"params": other}) != found[0]


def test_equal_arrays_pass_and_others_are_named():
  saved = state_digest.of_all(_ITEMS)
  state_digest.require_equal(saved, saved)
  changed = {"params": {**_ITEMS["params"], "w": jnp.zeros((2, 3))}}
  with pytest.raises(Damaged, match="digest of params/w is not the one saved"):
    state_digest.require_equal(saved, state_digest.of_all(changed))


def test_no_more_than_three_are_named():
  items = {"params": {name: jnp.ones(2) for name in "abcde"}}
  changed = jax.tree.map(jnp.zeros_like, items)
  with pytest.raises(Damaged, match="params/a, params/b, params/c and 2 more"):
    state_digest.require_equal(
      state_digest.of_all(items), state_digest.of_all(changed)
    )


def test_another_state_is_no_damage():
  described = state_digest.describe(_ITEMS)
  state_digest.refuse_other(described, described, where="here")
  wanted = state_digest.describe(
    {
      "params": {"w": jnp.ones((2, 4)), "deep": (jnp.int32(4),)},
      "average": {"w": jnp.ones(1)},
    }
  )
  with pytest.raises(
    ValueError, match="here is sound, but of another"
  ) as error:
    state_digest.refuse_other(described, wanted, where="here")
  lines = str(error.value).splitlines()
  assert lines[1:3] == [
    "  average/w: absent there, float32[1] in this run",
    "  params/w: float32[2, 3] there, float32[2, 4] in this run",
  ]
