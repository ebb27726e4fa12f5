# SPDX-License-Identifier: Apache-2.0
"""A state of 100 KB with every kind of leaf, and a stand-in for an iterator."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.models import sharding
from ramjax.trainers.state import TrainState

PROGRESS = {"tokens": 2**40, "supervised_tokens": 7, "elapsed_s": 1.5}


class Position:
  """Stands for an iterator: its position is all there is to it."""

  def __init__(self, at=0):
    self.at = at

  def get_state(self):
    return {"next_index": self.at, "parent": {"counter": 2 * self.at}}

  def set_state(self, state):
    self.at = state["next_index"]

  def start_prefetch(self):
    pass


def flip_a_bit(path):
  """One in the middle of a file."""
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 16
  path.write_bytes(data)


def one_device():
  return sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


def state(seed, mesh=None, *, specs=None):
  """A state whose leaves all follow from `seed`; `specs` splits them."""
  mesh = one_device() if mesh is None else mesh
  draw = np.random.default_rng(seed)

  def placed(array, name=""):
    spec = (specs or {}).get(name, PartitionSpec())
    return jax.device_put(array, NamedSharding(mesh, spec))

  def floats(*shape):
    return draw.standard_normal(shape).astype(np.float32)

  params = {
    "weight": placed(floats(64, 128), "weight"),
    "half": placed(floats(16, 8).astype(jnp.bfloat16), "half"),
    "packed": placed(draw.integers(0, 256, (4, 8)).astype(np.uint8), "packed"),
    "on": placed(draw.integers(0, 2, 8).astype(bool)),
  }
  adam = optax.ScaleByAdamState(
    count=placed(np.int32(seed)),
    mu={"weight": placed(floats(64, 128), "weight")},
    nu={"weight": placed(floats(64, 128) ** 2, "weight")},
  )
  return TrainState(
    step=placed(np.int32(seed)),
    params=params,
    frozen={},
    opt_state=(adam, optax.EmptyState()),
    ema=None,
    reference={},
    moving={},
    carried={"mean": placed(np.float32(seed))},
    key=placed(jax.random.key(seed)),
  )


def bits(tree):
  """Every leaf as bytes, by name, for comparing bit for bit."""
  found = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    found[jax.tree_util.keystr(path)] = np.asarray(leaf).tobytes()
  return found
