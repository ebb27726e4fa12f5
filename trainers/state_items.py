# SPDX-License-Identifier: Apache-2.0
"""A state as the items of a checkpoint, and back.

`params` and, where one is kept, `average` are readable on their own; `critic` is
PPO's second model, `train` the rest of the state.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from ramjax.models.tensors import BLOCK_BYTES
from ramjax.models.weights import AVERAGE_ITEM, PARAMS_ITEM
from ramjax.trainers.state import CRITIC, TrainState

_CRITIC_ITEM = "critic"
TRAIN_ITEM = "train"


def split(state: TrainState) -> dict[str, Any]:
  """Trees of arrays, by item."""
  return {**_weights(state), TRAIN_ITEM: _rest(state)}


def make_room(state: TrainState) -> TrainState:
  """The state with its large arrays deleted: of each, shape and place are left.

  Whoever else holds one of those arrays cannot read it any more. A device that
  a run fills has no room for a second state beside the first.

  Args:
    state: What no checkpoint has of it, `frozen` and `reference`, stays. Where
      only shape and place are there at first, there is nothing to delete.
  """

  def drop(leaf: jax.Array | jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    described = _described(leaf)
    if isinstance(leaf, jax.Array):
      leaf.delete()
    return described

  large = ("params", "opt_state", "ema", "moving")
  dropped = {name: jax.tree.map(drop, getattr(state, name)) for name in large}
  return dataclasses.replace(state, **dropped)


def save_args(name: str, tree: Any) -> ocp.args.CheckpointArgs:
  """How Orbax saves one item."""
  chunks = None if name == TRAIN_ITEM else _small_chunks(tree)
  return ocp.args.StandardSave(tree, chunks)


def read(folder: pathlib.Path, tree: Any) -> Any:
  """One item, to where `tree` lies; each process reads what it will hold.

  Orbax's manager and checkpointer would wait on the devices for all processes:
  for ever, where one cannot read its part. Its handlers wait for none.

  Args:
    folder: Of the item.
    tree: Of what has shapes, dtypes and shardings.
  """
  handler: Any = ocp.StandardCheckpointHandler()
  like = ocp.args.StandardRestore(jax.tree.map(_described, tree))
  try:
    return handler.restore(folder, args=like)
  finally:
    handler.close()


def _described(array: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def join(like: TrainState, items: Any) -> TrainState:
  """The state of restored items: the inverse of `split`.

  Args:
    like: The state that was split to say what to restore; what is not in
      checkpoints comes from it.
    items: Trees by item.
  """
  rest = items[TRAIN_ITEM]
  params, ema = items[PARAMS_ITEM], None
  if like.ema is not None:
    ema = items[AVERAGE_ITEM]
  if CRITIC in like.params:
    params = {**params, CRITIC: items[_CRITIC_ITEM]["params"]}
    if ema is not None:
      ema = {**ema, CRITIC: items[_CRITIC_ITEM]["average"]}
  return dataclasses.replace(
    like,
    step=rest["step"],
    params=params,
    opt_state=rest["opt_state"],
    ema=ema,
    moving=rest.get("moving", {}),
    carried=rest.get("carried", {}),
    skips=rest.get("skips", {}),
    key=jax.random.wrap_key_data(rest["key"]),
  )


def _weights(state: TrainState) -> dict[str, Any]:
  """Items by name: the policy alone is what others read."""
  trees: dict[str, Any] = {PARAMS_ITEM: state.params}
  if state.ema is not None:
    trees[AVERAGE_ITEM] = state.ema
  critics = {
    of: tree[CRITIC]
    for of, tree in (("params", state.params), ("average", state.ema))
    if tree is not None and CRITIC in tree
  }
  if not critics:
    return trees
  for name, tree in trees.items():
    trees[name] = {key: x for key, x in tree.items() if key != CRITIC}
  return {**trees, _CRITIC_ITEM: critics}


def _small_chunks(tree: Any) -> Any:
  """How Orbax cuts each parameter up: by layer, then to a block's size.

  Without it a stacked parameter is one chunk, and reading one layer of it (as
  the converters do, to need little memory) would decode all of them.
  """
  return jax.tree.map(
    lambda leaf: ocp.SaveArgs(
      chunk_byte_size=BLOCK_BYTES, shard_axes=(0,) if leaf.ndim == 3 else ()
    ),
    tree,
  )


def _rest(state: TrainState) -> dict[str, Any]:
  rest = {
    "step": state.step,
    "opt_state": state.opt_state,
    "key": jax.random.key_data(state.key),
  }
  # Orbax has no empty branches.
  for name in ("moving", "carried", "skips"):
    if branch := getattr(state, name):
      rest[name] = branch
  return rest
