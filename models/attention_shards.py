# SPDX-License-Identifier: Apache-2.0
"""Attention under a mesh: each device's own queries, and every key they see.

A kernel is no part of what the compiler can split, so it runs per device, in
`jax.shard_map` over the mesh of the surrounding `jax.set_mesh`: rows lie over
`data` and `fsdp`, heads over `tensor`, and the queries of a row over `sequence`,
whose devices gather the row's keys and values from one another.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import PartitionSpec

from ramjax.models import sharding


class Ids(NamedTuple):
  """Which tokens belong together; `branches` is None where there are none."""

  segments: jax.Array
  branches: jax.Array | None


def per_device(
  function: Callable[..., jax.Array],
  query: jax.Array,
  key: jax.Array,
  value: jax.Array,
  ids: Ids,
  extra: Any = (),
  extra_specs: Any = (),
) -> jax.Array:
  """Calls `function` on what each device holds, and puts the outputs together.

  Args:
    function: (query [b, t, n, h], key [b, T, k, h], value, ids of the queries,
      ids of the keys, the row's place of the first query, extra) to the output
      [b, t, n, h].
    query: [B, T, N, H], with the mesh's `sequence` dividing T.
    key: [B, T, K, H].
    value: [B, T, K, H].
    ids: Of [B, T].
    extra: Arrays that `function` needs besides.
    extra_specs: How those are split: a tree of `PartitionSpec`.

  Returns:
    [B, T, N, H]. Without a mesh of several devices, `function` of everything.

  Raises:
    ValueError: `tensor` does not divide K.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.size == 1:
    return function(query, key, value, ids, ids, 0, extra)
  rows, length, heads = _parts(query.shape[0], key.shape[2])

  def local(query, key, value, ids, extra):
    first, seen = 0, (key, value, ids)
    if length is not None:
      first = jax.lax.axis_index(length) * query.shape[1]
      seen = jax.tree.map(
        lambda x: jax.lax.all_gather(x, length, axis=1, tiled=True), seen
      )
    key, value, ids_of_keys = seen
    return function(query, key, value, ids, ids_of_keys, first, extra)

  split = PartitionSpec(rows, length, heads, None)
  # A pallas_call does not say over which axes its outputs vary.
  sharded: Any = jax.shard_map(
    local,
    in_specs=(split, split, split, PartitionSpec(rows, length), extra_specs),
    out_specs=split,
    check_vma=False,
  )
  return sharded(query, key, value, ids, extra)


def _parts(num_rows: int, num_kv_heads: int) -> Any:
  """Mesh axes over which rows, length and heads are split; None is not.

  Rows that do not divide (a sampler's prompts) are computed on every device.
  """
  rows = sharding.RULES["batch"]
  if num_rows % sharding.mesh_ways(rows):
    rows = None
  ways = sharding.mesh_ways(("tensor",))
  if num_kv_heads % ways:
    raise ValueError(
      f"{num_kv_heads} KV heads cannot be split over tensor={ways} devices by"
      " this attention backend: set mesh.tensor to a divisor of num_kv_heads,"
      " or model.attention='xla'."
    )
  length = "sequence" if sharding.mesh_ways(("sequence",)) > 1 else None
  return rows, length, "tensor"
