# SPDX-License-Identifier: Apache-2.0
"""One copy that differs in one bit is found, with its device."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.models import array_digest, sharding
from ramjax.trainers.replicas import ReplicaCheck
from ramjax.trainers.run_error import ReplicaError


def _mesh():
  return sharding.make_mesh({"data": 4, "fsdp": 2})


def _with_copies(mesh, spec, array, damage=()):
  """An array on the mesh; `damage` changes a bit of the block of a device."""
  placed = NamedSharding(mesh, PartitionSpec(*spec))
  blocks = []
  for device, index in placed.devices_indices_map(array.shape).items():
    block = np.array(array[index])
    if device.id in damage:
      block.view(np.uint32).reshape(-1)[-1] ^= 1
    blocks.append(jax.device_put(block, device))
  return jax.make_array_from_single_device_arrays(array.shape, placed, blocks)


def _array(seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(6, 4)).astype(np.float32)


def _check(mesh, state, every=10, step=30):
  ReplicaCheck(every, mesh).check(state, step)


@pytest.mark.parametrize("spec", [(), ("fsdp",), (None, "fsdp")])
@pytest.mark.parametrize("bad", [0, 5])
def test_one_bit_of_one_copy_is_found_and_its_device_named(spec, bad):
  mesh = _mesh()
  state = {
    "params": {"fine": _with_copies(mesh, spec, _array())},
    "opt_state": (_with_copies(mesh, spec, _array(1), {bad}),),
  }
  with pytest.raises(ReplicaError) as error:
    _check(mesh, state)
  message = str(error.value)
  (device,) = [d for d in jax.devices() if d.id == bad]
  assert f"\n  opt_state/0 on {device}\n" in message
  assert "after step 30" in message and "no newer than that" in message
  assert "Up to step 20" in message and "fine" not in message


def _state(mesh, damaged=""):
  """Not only plain numbers; device 5 has another bit of what is `damaged`."""
  array = np.where(_array() > 0, np.nan, _array()).astype(np.float32)
  values = {
    "w": (("fsdp",), array),
    "step": ((), np.array(3, np.int32)),
    "key": ((), np.array(jax.random.key_data(jax.random.key(0)))),
  }
  state = {
    name: _with_copies(mesh, spec, value, {5} if name == damaged else ())
    for name, (spec, value) in values.items()
  }
  return {**state, "key": jax.random.wrap_key_data(state["key"])}


def test_equal_copies_pass_whatever_they_hold():
  mesh = _mesh()
  _check(mesh, _state(mesh))
  for damaged in ("w", "step", "key"):
    with pytest.raises(ReplicaError, match=rf"\n  {damaged} on \S+\n"):
      _check(mesh, _state(mesh, damaged))


def test_every_device_that_differs_from_most_is_named():
  mesh = _mesh()
  state = {"w": _with_copies(mesh, (), _array(), {2, 7})}
  with pytest.raises(ReplicaError) as error:
    _check(mesh, state)
  odd = [d for d in jax.devices() if d.id in (2, 7)]
  assert all(str(device) in str(error.value) for device in odd)
  assert "3)" not in str(error.value).replace("step 3", "")


def test_what_no_two_devices_share_is_not_compared(monkeypatch):
  mesh = _mesh()
  digested = []
  digest = array_digest.digest

  def seen(block):
    digested.append(block.shape)
    return digest(block)

  monkeypatch.setattr(array_digest, "digest", seen)
  split = _with_copies(
    mesh, (("data", "fsdp"),), np.arange(8, dtype=np.float32)
  )
  _check(mesh, {"split": split})
  assert digested == []
  # Beside what has copies it is left out: of 6 rows each device holds 3.
  _check(mesh, {"split": split, "w": _with_copies(mesh, ("fsdp",), _array())})
  assert digested == [(3, 4)]


def test_it_is_due_every_so_many_steps():
  check = ReplicaCheck(3, _mesh())
  assert [step for step in range(1, 8) if check.due(step)] == [3, 6]
  assert not any(ReplicaCheck(0, _mesh()).due(step) for step in range(5))


def test_a_negative_period_is_refused():
  with pytest.raises(ValueError, match=r"run\.check_replicas_every=-1"):
    ReplicaCheck(-1, _mesh())
