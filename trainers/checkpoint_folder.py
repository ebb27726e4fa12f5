# SPDX-License-Identifier: Apache-2.0
"""One folder of checkpoints: each is written whole, and proven when read.

Each step's folder holds the items of `state_items`, `data` (the iterator),
`progress` (host-side counters) and `digests` of all these. Saving copies to host
memory and writes in the background.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp

from ramjax.models import saved_digests
from ramjax.models.saved_digests import Damaged
from ramjax.trainers import (
  data_position,
  processes,
  state_digest,
  state_items,
)
from ramjax.trainers.state import TrainState

_DATA_ITEM = "data"
_PROGRESS_ITEM = "progress"
# Where Orbax's JSON handler puts a value.
_PROGRESS_FILE = "metadata"
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
    # On the first process alone: it may write a rollout beside the checkpoint.
    position = batches.get_state() if processes.is_first() else None
    texts = {_DATA_ITEM: position, _PROGRESS_ITEM: progress}
    with self._said():
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
            _DATA_ITEM: data_position.Save(_Position(position)),
            _PROGRESS_ITEM: ocp.args.JsonSave(progress),
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
      Damaged: It is not what was saved; says what is wrong.
      SaveError: A save that ran failed.
      ValueError: It is sound, but of a state with other arrays.
    """
    self.wait()
    record = processes.first_tells(lambda: self._record(step))
    if "damaged" in record:
      raise Damaged(record["damaged"])
    saved = record["arrays"]
    # A run may begin to skip updates where it was stopped by one.
    fresh = {} if _has_skips(saved) else like.skips
    like = dataclasses.replace(like, skips={} if fresh else like.skips)
    wanted = state_items.split(like)
    if saved is not None:
      described = state_digest.describe(wanted)
      where = str(self.path(step))
      state_digest.refuse_other(_shapes(saved), described, where=where)
    try:
      items = processes.together(lambda: self._read(step, wanted, batches))
    except jax.errors.JaxRuntimeError:
      # A device out of memory, or a process that died: nothing about the files.
      raise
    except Exception as error:
      # Orbax and tensorstore raise whatever a damaged file leads them to.
      raise Damaged(f"cannot be read: {_first_line(error)}") from error
    if saved is not None:
      trees = {name: items[name] for name in wanted}
      state_digest.require_equal(saved, state_digest.of_all(trees))
    state = state_items.join(like, items)
    state = dataclasses.replace(state, skips=fresh or state.skips)
    return Restored(state, items[_PROGRESS_ITEM], is_proven=saved is not None)

  def _record(self, step: int) -> dict[str, Any]:
    """The digests of a step whose texts are sound, or what is wrong with it."""
    at = self.path(step)
    try:
      record = saved_digests.read(at)
      if record is None:
        return {"arrays": None}
      if record["step"] != step:
        raise Damaged(f"it is the checkpoint of step {record['step']}")
      files = {
        _DATA_ITEM: at / _DATA_ITEM / data_position.FILE,
        _PROGRESS_ITEM: at / _PROGRESS_ITEM / _PROGRESS_FILE,
      }
      for item, path in files.items():
        _require_text(path, record["texts"][item])
    except Damaged as error:
      return {"damaged": str(error)}
    return {"arrays": record["arrays"]}

  def _read(self, step: int, wanted: dict[str, Any], batches: Any) -> Any:
    return self._manager.restore(
      step,
      args=ocp.args.Composite(
        **{
          name: state_items.restore_args(tree) for name, tree in wanted.items()
        },
        **{
          _DATA_ITEM: data_position.Restore(batches),
          _PROGRESS_ITEM: ocp.args.JsonRestore(),
        },
      ),
    )

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

    moved = processes.first_tells(rename)
    self._manager.reload()
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
        f" {_first_line(error)}; {last or 'there is none yet'}. See that the"
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


def _require_text(path: pathlib.Path, digest: str) -> None:
  name = f"{path.parent.name}/{path.name}"
  try:
    value = json.loads(path.read_bytes())
  except (OSError, ValueError) as error:
    raise Damaged(f"{name} cannot be read: {_first_line(error)}") from error
  if saved_digests.text_digest(value) != digest:
    raise Damaged(f"the digest of {name} is not the one saved")


def _first_line(error: Exception) -> str:
  """What an error says, without the notes that libraries put behind it."""
  lines = str(error).splitlines() or [""]
  text = lines[0] if len(lines[0]) <= 300 else f"{lines[0][:300]}..."
  return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _has_skips(saved: state_digest.Described | None) -> bool:
  """Whether a checkpoint holds what the rule on skipped updates keeps."""
  if saved is None:
    return False  # Of an earlier version, which had none.
  return any(
    name.startswith("skips/") for name in saved[state_items.TRAIN_ITEM]
  )


def _shapes(saved: state_digest.Described) -> state_digest.Described:
  return {
    item: {
      name: {"dtype": leaf["dtype"], "shape": leaf["shape"]}
      for name, leaf in leaves.items()
    }
    for item, leaves in saved.items()
  }
