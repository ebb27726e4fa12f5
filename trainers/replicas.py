# SPDX-License-Identifier: Apache-2.0
"""Copies of one number on several devices must be one number.

A chip that computes wrongly, or a step that is not the same on two hosts, lets
the copies of a parameter drift apart; the loss hides it, and a checkpoint keeps
only one of them. Each device digests the block it holds, and blocks that should
be equal are compared.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramjax.models import array_digest
from ramjax.trainers.run_error import ReplicaError


class ReplicaCheck:
  """Compares the copies in a state every so many steps."""

  def __init__(self, every: int, mesh: Mesh):
    """Nothing is compiled before the first check.

    Args:
      every: Steps between two checks; 0 checks never.
      mesh: Of the state.

    Raises:
      ValueError: `every` is negative.
    """
    if every < 0:
      raise ValueError(
        f"run.check_replicas_every={every} must be at least 0; 0 is never."
      )
    self._every = every
    self._mesh = mesh
    self._digest: Callable[[Any], jax.Array] | None = None

  def due(self, step: int) -> bool:
    """Whether `step` is one after which copies are compared."""
    return self._every > 0 and step % self._every == 0

  def check(self, state: Any, step: int) -> None:
    """Compares; waits for the devices, which read what has copies once.

    Args:
      state: Pytree of arrays on the mesh.
      step: For the message.

    Raises:
      ReplicaError: Names each leaf whose copies differ, and the devices whose
        copy is not that of most.
    """
    copied = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
      if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
      if _has_copies(leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        copied[name] = leaf
    if not copied:
      return
    digest = self._digest or _digests_by_device(copied, self._mesh)
    self._digest = digest
    digests = np.asarray(digest(copied))
    wrong = []
    devices = list(self._mesh.devices.flat)
    for place, (name, leaf) in enumerate(sorted(copied.items())):
      odd = _odd_ones(leaf, digests[:, place], devices)
      if odd:
        wrong.append(f"{name} on {', '.join(str(device) for device in odd)}")
    if wrong:
      since = step - self._every
      raise ReplicaError(
        f"after step {step} copies of the state differ between devices:\n  "
        + "\n  ".join(wrong)
        + f"\nUp to step {since} they were equal where they were checked: go on"
        " from a checkpoint no newer than that, delete those behind it, and have"
        " the devices named tested."
      )


def _has_copies(leaf: jax.Array) -> bool:
  spots = _spots(leaf)
  return len(set(spots.values())) < len(spots)


def _spots(leaf: jax.Array) -> dict[Any, tuple[tuple[int, int], ...]]:
  """Of each device: which block of the leaf it holds."""
  return {
    device: tuple(
      part.indices(size)[:2]
      for part, size in zip(index, leaf.shape, strict=True)
    )
    for device, index in leaf.sharding.devices_indices_map(leaf.shape).items()
  }


def _digests_by_device(
  leaves: dict[str, Any], mesh: Mesh
) -> Callable[[Any], jax.Array]:
  """A jitted function of the leaves to [devices, leaves, 2] numbers."""
  specs = {name: leaf.sharding.spec for name, leaf in leaves.items()}

  def of_block(blocks: dict[str, jax.Array]) -> jax.Array:
    sums = [array_digest.digest(block) for _, block in sorted(blocks.items())]
    return jnp.stack([jnp.stack(pair) for pair in sums])[None]

  digest = jax.shard_map(
    of_block,
    mesh=mesh,
    in_specs=(specs,),
    out_specs=PartitionSpec(mesh.axis_names),
    check_vma=False,
  )
  return jax.jit(digest, out_shardings=NamedSharding(mesh, PartitionSpec()))


def _odd_ones(
  leaf: jax.Array, digests: np.ndarray, devices: list[Any]
) -> list[Any]:
  """Devices whose block differs from that of most which hold the same."""
  spots = _spots(leaf)
  holders: dict[Any, list[int]] = {}
  for number, device in enumerate(devices):
    holders.setdefault(spots[device], []).append(number)
  odd = []
  for numbers in holders.values():
    seen = [tuple(digests[number]) for number in numbers]
    usual = max(seen, key=seen.count)
    odd += [
      devices[number]
      for number, value in zip(numbers, seen, strict=True)
      if value != usual
    ]
  return odd
