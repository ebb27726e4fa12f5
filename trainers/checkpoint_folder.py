# SPDX-License-Identifier: Apache-2.0
"""One folder of checkpoints: each is written whole, and proven when read.

Each step's folder holds the items of `state_items`, `data` (the iterator),
`progress` (host-side counters) and `digests` of all these. Saving copies to host
memory and writes in the background.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp

from ramjax.models import saved_digests
from ramjax.models.saved_digests import Damaged
from ramjax.trainers import (
  checkpoint_step,
  data_position,
  processes,
  skipped_updates,
  state_digest,
  state_items,
)
from ramjax.trainers.checkpoint_step import (
  DATA_ITEM,
  PROGRESS_ITEM,
  first_line,
)
from ramjax.trainers.state import TrainState

_ASIDE = ".rejected"


class SaveError(OSError):
  """A checkpoint could not be written; the ones before it are as they were."""


@dataclasses.dataclass(frozen=True)
class Restored:
  """What a checkpoint held.

  Attributes:
    state: On the mesh.
    progress: The counters.
    is_proven: Whether all of it was compared with digests; False for a
      checkpoint that an earlier version wrote without any.
  """

  state: TrainState
  progress: dict[str, Any]
  is_proven: bool


class CheckpointFolder:
  """Saves to and restores from one folder."""

  def __init__(self, directory: pathlib.Path, *, keep: int, keep_every: int):
    """Opens the folder, and creates it where it is missing.

    Args:
      directory: Absolute.
      keep: Newest checkpoints kept.
      keep_every: Steps divisible by this are kept for good; 0 keeps none so.

    Raises:
      SaveError: It cannot be written to.
    """
    self.directory = directory
    self._failed = False
    with self._said():
      self._manager = ocp.CheckpointManager(
        directory,
        options=ocp.CheckpointManagerOptions(
          max_to_keep=keep,
          keep_period=keep_every or None,
          enable_async_checkpointing=True,
          # A folder that cannot be made is an error at once. In the background
          # Orbax's own items would wait for it, for 20 minutes.
          async_options=ocp.AsyncOptions(
            create_directories_asynchronously=False
          ),
          # Two folders of one run must not meet at one barrier.
          multiprocessing_options=ocp.options.MultiprocessingOptions(
            barrier_sync_key_prefix=directory.name
          ),
          cleanup_tmp_directories=True,
        ),
      )

  def steps(self) -> list[int]:
    """The finished checkpoints, ascending; one being written is not."""
    if not self.directory.is_dir():
      return []
    return sorted(
      int(path.name) for path in self.directory.iterdir() if path.name.isdigit()
    )

  def set_aside_before(self) -> list[str]:
    """Names of the checkpoints that were set aside, now or earlier."""
    return sorted(path.name for path in self.directory.glob(f"*{_ASIDE}*"))

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
    """Starts a save, unless the step is there.

    Raises:
      SaveError: This save or the one before it failed.
    """
    if step in self._manager.all_steps():
      return
    trees = state_items.split(state)
    with self._said():
      # On the first process alone: it may write a rollout beside the checkpoint.
      position = batches.get_state() if processes.is_first() else None
      texts = {DATA_ITEM: position, PROGRESS_ITEM: progress}
      # Before the copies to the host, so that the devices do both at once.
      pending = state_digest.start(trees)
      self._manager.save(
        step,
        args=ocp.args.Composite(
          **{
            name: state_items.save_args(name, tree)
            for name, tree in trees.items()
          },
          **{
            DATA_ITEM: data_position.Save(_Position(position)),
            PROGRESS_ITEM: ocp.args.JsonSave(progress),
            saved_digests.ITEM: state_digest.Save(step, pending, texts),
          },
        ),
      )

  def restore(self, step: int, like: TrainState, batches: Any) -> Restored:
    """What is in the checkpoint of `step`; moves `batches` to its position.

    Args:
      step: A finished checkpoint's.
      like: A state of the same shapes, on the mesh to restore onto.
      batches: The run's iterator.

    Raises:
      Damaged: It is not what was saved; says what is wrong. On all processes,
        whichever found it.
      ReadError: This process cannot read it, for want of something else.
      SaveError: A save that ran failed.
      ValueError: It is sound, but of a state with other arrays, or of a config
        that `batches` cannot go on with. Or another process failed.
    """
    self.wait()
    record = processes.first_tells(
      lambda: checkpoint_step.record(self.path(step), step)
    )
    if "damaged" in record:
      raise Damaged(record["damaged"])
    saved = record["arrays"]
    as_saved = dataclasses.replace(like, skips=_skips_of(saved, like))
    wanted = state_items.split(as_saved)
    if saved is not None:
      described = state_digest.describe(wanted)
      where = str(self.path(step))
      state_digest.refuse_other(_shapes(saved), described, where=where)
    read = processes.together(
      lambda: checkpoint_step.read(self.path(step), wanted)
    )
    _refuse_damaged(read.damaged)
    if saved is not None:
      trees = {name: read.items[name] for name in wanted}
      state_digest.require_equal(saved, state_digest.of_all(trees))
    _refuse_damaged(
      processes.together(
        lambda: checkpoint_step.move(
          self.path(step), batches, read.items[DATA_ITEM]
        )
      )
    )
    state = state_items.join(as_saved, read.items)
    skips = skipped_updates.continued(state.skips, like.skips)
    state = dataclasses.replace(state, skips=skips)
    progress = read.items[PROGRESS_ITEM]
    return Restored(state, progress, is_proven=saved is not None)

  def set_aside(self, step: int) -> pathlib.Path:
    """Renames a checkpoint so that nothing takes it for one; returns where."""

    def rename() -> str:
      taken = 1
      target = self.directory / f"{step}{_ASIDE}"
      while target.exists():
        taken += 1
        target = self.directory / f"{step}{_ASIDE}-{taken}"
      self.path(step).rename(target)
      return str(target)

    def list_anew() -> None:
      processes.sees(lambda: not self.path(step).exists())
      self._manager.reload()

    moved = processes.first_tells(rename)
    # Orbax does not list a folder in which the next step is being renamed.
    processes.together(list_anew)
    return pathlib.Path(moved)

  def check(self) -> None:
    """Raises if a save failed since the last look; never waits for one.

    Raises:
      SaveError: It did.
    """
    if not self._failed and not self._manager.is_saving_in_progress():
      self.wait()

  def wait(self) -> None:
    """Blocks until the running save is on disk.

    Raises:
      SaveError: It failed.
    """
    if not self._failed:
      with self._said():
        self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then releases the folder; says nothing a second time.

    Raises:
      SaveError: The last save failed, and nobody was told yet.
    """
    self.wait()
    with contextlib.suppress(Exception) if self._failed else self._said():
      self._manager.close()

  @contextlib.contextmanager
  def _said(self) -> Iterator[None]:
    """Turns what goes wrong inside into a message a user can act on."""
    try:
      yield
    except Exception as error:
      self._failed = True
      steps = self.steps()
      last = f"the last good one is {self.path(steps[-1])}" if steps else ""
      raise SaveError(
        f"a checkpoint could not be written in {self.directory}:"
        f" {first_line(error)}; {last or 'there is none yet'}. See that the"
        " disk has room (df -h), that no quota is used up, and that the folder"
        " may be written to; then run the same command again: it goes on from"
        " there."
      ) from error


@dataclasses.dataclass(frozen=True)
class _Position:
  """A position that was asked for already."""

  state: Any

  def get_state(self) -> Any:
    return self.state


def _refuse_damaged(here: str | None) -> None:
  """Raises on all processes if what one of them read is damaged.

  Args:
    here: What is wrong with what this one read.

  Raises:
    Damaged: What the first of them found.
  """
  for damaged in processes.gather(here):
    if damaged is not None:
      raise Damaged(damaged)


def _skips_of(
  saved: state_digest.Described | None, like: TrainState
) -> dict[str, Any]:
  """What a checkpoint holds of the rule on skipped updates, as it was saved.

  The rule may be another now; see `skipped_updates.continued`.
  """
  if saved is None:
    return {}  # Of an earlier version, which had none.
  start = "skips/"
  return {
    name.removeprefix(start): jax.ShapeDtypeStruct(
      leaf["shape"], leaf["dtype"], sharding=like.step.sharding
    )
    for name, leaf in saved.get(state_items.TRAIN_ITEM, {}).items()
    if name.startswith(start)
  }


def _shapes(saved: state_digest.Described) -> state_digest.Described:
  return {
    item: {
      name: {"dtype": leaf["dtype"], "shape": leaf["shape"]}
      for name, leaf in leaves.items()
    }
    for item, leaves in saved.items()
  }
