# SPDX-License-Identifier: Apache-2.0
"""What is computed over the vocabulary, on the devices of a mesh.

Each device works on its own tokens, in `jax.shard_map` over the mesh of the
surrounding `jax.set_mesh`: rows of the batch lie over `data` and `fsdp`, the
tokens of a row over `sequence`. Of the head's matrix a device holds a part,
rows over `fsdp` and columns over `tensor`; `losses.vocabulary_blocks` says how
it comes by the rest. Left to itself, the compiler moves all of the matrix for
every chunk of tokens, and its gradient with it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec

from ramjax.losses.vocabulary_blocks import WHOLE, Axes
from ramjax.models import sharding

_Outputs = TypeVar("_Outputs")


def per_device(
  function: Callable[[Any, Any, Axes], _Outputs], kernels: Any, tokens: Any
) -> _Outputs:
  """Calls `function` on what each device holds, and puts the outputs together.

  Gradients flow: what devices hold of a matrix is summed over all their tokens.

  Args:
    function: (kernels, tokens, axes) to a tree of [n, ...]; tokens are flat,
      [n, ...], and `axes` says how kernels are split.
    kernels: Tree of [D, V].
    tokens: Tree of [B, T, ...].

  Returns:
    Tree of [B, T, ...]. Without a mesh, or where the mesh does not divide B or
    T, `function` of everything.
  """
  rows, length = jax.tree.leaves(tokens)[0].shape[:2]

  def local(kernels: Any, tokens: Any, axes: Axes) -> _Outputs:
    held = jax.tree.leaves(tokens)[0].shape[:2]
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tokens)
    found = function(kernels, flat, axes)
    return jax.tree.map(lambda x: x.reshape(*held, *x.shape[1:]), found)

  mesh = jax.sharding.get_abstract_mesh()
  if (
    mesh.empty
    or mesh.size == 1
    or rows % sharding.mesh_ways(sharding.RULES["batch"])
    or length % sharding.mesh_ways(sharding.RULES["length"])
  ):
    return local(kernels, tokens, WHOLE)
  axes = Axes(_split(sharding.RULES["embed"]), _split(sharding.RULES["vocab"]))
  of_tokens = PartitionSpec(sharding.RULES["batch"], sharding.RULES["length"])
  # Loops whose carries start as zeros do not say over which axes those vary.
  sharded: Any = jax.shard_map(
    lambda kernels, tokens: local(kernels, tokens, axes),
    in_specs=(PartitionSpec(axes.width or None, axes.vocab or None), of_tokens),
    out_specs=of_tokens,
    check_vma=False,
  )
  return sharded(kernels, tokens)


def _split(axes: tuple[str, ...]) -> tuple[str, ...]:
  """Those mesh axes that have more than one device."""
  return tuple(axis for axis in axes if sharding.mesh_ways((axis,)) > 1)
