# SPDX-License-Identifier: Apache-2.0
"""Orbax checkpoints of a run: parameters, optimizer, PRNG, data order, counts.

Each step's folder holds the items `params` and, where one is kept, `average`
(both readable on their own), `critic` (PPO's second model), `train` (the rest of
the state), `data` (the iterator) and `progress` (host-side counters).
Saving copies to host memory and writes in the background.
"""

import dataclasses
import pathlib
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp

from ramjax.models.tensors import BLOCK_BYTES
from ramjax.models.weights import AVERAGE_ITEM, CHECKPOINT_DIR, PARAMS_ITEM
from ramjax.trainers.state import CRITIC, TrainState

_CRITIC_ITEM = "critic"


class Checkpoints:
  """Saves and restores the whole state of a run."""

  def __init__(self, workdir: pathlib.Path, *, keep: int, keep_every: int):
    """Opens (and creates) the checkpoint folder of `workdir`.

    Args:
      workdir: The run's folder.
      keep: Newest checkpoints kept, at least 1.
      keep_every: Steps divisible by this are kept for good; 0 keeps none so.

    Raises:
      ValueError: `keep` below 1 or `keep_every` negative.
    """
    if keep < 1 or keep_every < 0:
      raise ValueError(
        f"checkpoint.keep={keep} must be at least 1 and"
        f" checkpoint.keep_every={keep_every} at least 0."
      )
    self.directory = (workdir / CHECKPOINT_DIR).resolve()
    self._manager = ocp.CheckpointManager(
      self.directory,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        keep_period=keep_every or None,
        enable_async_checkpointing=True,
        cleanup_tmp_directories=True,
      ),
    )

  def latest_step(self) -> int | None:
    """Step of the newest finished checkpoint, or None."""
    return self._manager.latest_step()

  def path(self, step: int) -> pathlib.Path:
    """Where the checkpoint of `step` is."""
    return self.directory / str(step)

  def save(
    self,
    step: int,
    state: TrainState,
    batches: Any,
    progress: dict[str, Any],
  ) -> None:
    """Starts a save; an error of the previous one is raised here."""
    if step in self._manager.all_steps():
      return
    self._manager.save(
      step,
      args=ocp.args.Composite(
        **{
          name: ocp.args.StandardSave(tree, _small_chunks(tree))
          for name, tree in _weights(state).items()
        },
        train=ocp.args.StandardSave(_rest(state)),
        data=grain.checkpoint.CheckpointSave(batches),
        progress=ocp.args.JsonSave(progress),
      ),
    )

  def restore(
    self, step: int, like: TrainState, batches: Any
  ) -> tuple[TrainState, dict[str, Any]]:
    """The state and counters of `step`; `batches` is moved to its position.

    Args:
      step: A finished checkpoint's.
      like: A state of the same shapes, on the mesh to restore onto.
      batches: The run's iterator, freshly made.

    Returns:
      The state and the `progress` that were saved.
    """
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(
        **{
          name: ocp.args.StandardRestore(_abstract(tree))
          for name, tree in _weights(like).items()
        },
        train=ocp.args.StandardRestore(_abstract(_rest(like))),
        data=grain.checkpoint.CheckpointRestore(batches),
        progress=ocp.args.JsonRestore(),
      ),
    )
    rest = restored["train"]
    params, ema = restored[PARAMS_ITEM], None
    if like.ema is not None:
      ema = restored[AVERAGE_ITEM]
    if CRITIC in like.params:
      params = {**params, CRITIC: restored[_CRITIC_ITEM]["params"]}
      if ema is not None:
        ema = {**ema, CRITIC: restored[_CRITIC_ITEM]["average"]}
    state = dataclasses.replace(
      like,
      step=rest["step"],
      params=params,
      opt_state=rest["opt_state"],
      ema=ema,
      moving=rest.get("moving", {}),
      carried=rest.get("carried", {}),
      key=jax.random.wrap_key_data(rest["key"]),
    )
    return state, restored["progress"]

  def restore_latest(
    self, fresh: TrainState, batches: Any
  ) -> tuple[TrainState, dict[str, Any], int | None]:
    """The newest checkpoint's state, counters and step; or a fresh start.

    Args:
      fresh: The state of a run that starts, on the mesh.
      batches: The run's iterator, freshly made.

    Returns:
      What `restore` does and the step; `fresh`, counters at zero and None
      where there is no checkpoint.
    """
    step = self.latest_step()
    if step is None:
      progress = {"tokens": 0, "supervised_tokens": 0, "elapsed_s": 0.0}
      return fresh, progress, None
    state, progress = self.restore(step, fresh, batches)
    return state, progress, step

  def wait(self) -> None:
    """Blocks until the running save is on disk; raises if it failed."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then releases the folder."""
    self._manager.close()


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
  if state.moving:
    rest["moving"] = state.moving
  if state.carried:
    rest["carried"] = state.carried
  return rest


def _abstract(tree: Any) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree
  )
