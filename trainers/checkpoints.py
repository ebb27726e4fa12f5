# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run: saved to one folder, or to two, and proven when read.

The second is on a fast disk of the machine, saved to more often and kept short;
a run goes on from the newest good checkpoint of both.
"""

import contextlib
import dataclasses
import pathlib
from typing import Any

from ramjax.models.weights import CHECKPOINT_DIR
from ramjax.trainers import good_step, local_tier, processes
from ramjax.trainers.checkpoint_folder import CheckpointFolder
from ramjax.trainers.state import TrainState

_KEEP_LOCAL = 2


@dataclasses.dataclass(frozen=True)
class Continued:
  """What a run starts or goes on from.

  Attributes:
    state: On the mesh.
    progress: Counters, at zero in a fresh start.
    step: Of the checkpoint; None in a fresh start.
    notes: Sentences to say about it.
  """

  state: TrainState
  progress: dict[str, Any]
  step: int | None
  notes: list[str]


class Checkpoints:
  """Saves and restores the whole state of a run."""

  def __init__(
    self,
    workdir: pathlib.Path,
    *,
    keep: int,
    keep_every: int,
    local_dir: str = "",
    local_every: int = 0,
  ):
    """Opens (and creates) the checkpoint folder of `workdir`.

    Args:
      workdir: The run's folder.
      keep: Newest checkpoints kept, at least 1.
      keep_every: Steps divisible by this are kept for good; 0 keeps none so.
      local_dir: Where the second folder goes; "" has none.
      local_every: Steps between two checkpoints there, at least 1.

    Raises:
      InUseError: Another job holds the local folder.
      SaveError: A folder cannot be written to.
      ValueError: `keep` below 1, `keep_every` negative, only one of the last
        two, or a local folder that not all processes share.
    """
    if keep < 1 or keep_every < 0:
      raise ValueError(
        f"checkpoint.keep={keep} must be at least 1 and"
        f" checkpoint.keep_every={keep_every} at least 0."
      )
    if local_every < 0 or bool(local_dir) != bool(local_every):
      raise ValueError(
        f"checkpoint.local_dir={local_dir!r} and checkpoint.local_every_steps="
        f'{local_every} belong together: a folder and at least 1, or "" and 0.'
      )
    self.directory = (workdir / CHECKPOINT_DIR).resolve()
    self._main = CheckpointFolder(
      self.directory, keep=keep, keep_every=keep_every
    )
    self._were_there = False
    self._local_every = local_every
    self._local: CheckpointFolder | None = None
    self._held = contextlib.ExitStack()
    if local_dir:
      with contextlib.ExitStack() as held:
        of_run = local_tier.claim(local_dir, self.directory, held)
        self._local = CheckpointFolder(of_run, keep=_KEEP_LOCAL, keep_every=0)
        self._held = held.pop_all()

  def latest_step(self) -> int | None:
    """Step of the newest finished checkpoint, or None."""
    steps = [step for folder in self._folders() for step in folder.steps()]
    return max(steps, default=None)

  def any_there(self) -> bool:
    """Whether there is a checkpoint, by what the first process sees."""
    self._were_there = processes.first_tells(
      lambda: self.latest_step() is not None
    )
    return self._were_there

  def path(self, step: int) -> pathlib.Path:
    """Where the checkpoint of `step` is."""
    for folder in self._folders():
      if step in folder.steps():
        return folder.path(step)
    return self._main.path(step)

  def save(
    self,
    step: int,
    state: TrainState,
    batches: Any,
    progress: dict[str, Any],
  ) -> None:
    """Starts a save in the workdir; an error of the previous one is raised.

    Raises:
      SaveError: This save or the one before it failed.
    """
    self._main.save(step, state, batches, progress)

  def is_local_due(self, step: int) -> bool:
    """Whether `save_local` is to be called after a step."""
    return self._local_every > 0 and step % self._local_every == 0

  def save_local(
    self,
    step: int,
    state: TrainState,
    batches: Any,
    progress: dict[str, Any],
  ) -> None:
    """Starts a save in the local folder; see `save`."""
    assert self._local is not None  # `is_local_due` said so.
    self._local.save(step, state, batches, progress)

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

    Raises:
      Damaged: It is not what was saved.
      ValueError: It is of a state with other arrays.
    """
    restored = self._main.restore(step, like, batches)
    return restored.state, restored.progress

  def restore_latest(self, fresh: TrainState, batches: Any) -> Continued:
    """The newest good checkpoint's state, counters and step; or a fresh start.

    Args:
      fresh: The state of a run that starts, on the mesh; where there is a
        checkpoint, its arrays are deleted. Where there are `any_there`, it may
        be described only.
      batches: The run's iterator, freshly made.

    Raises:
      NoGoodStepError: There are checkpoints, and none is good; or there were
        some by `any_there`, and they are gone.
      ValueError: The newest sound one is of a state with other arrays.
    """
    found = good_step.restore_newest(self._folders(), fresh, batches)
    if found is None and self._were_there:
      raise good_step.NoGoodStepError(
        f"the checkpoints in {self.directory} were there a moment ago and are"
        " gone: does another program move them? Bring them back; or run the same"
        " command again, and it begins anew."
      )
    if found is None:
      progress = {"tokens": 0, "supervised_tokens": 0, "elapsed_s": 0.0}
      return Continued(fresh, progress, None, [])
    restored = found.restored
    return Continued(restored.state, restored.progress, found.step, found.notes)

  def check(self) -> None:
    """Raises if a save failed since the last look; waits for nothing.

    Raises:
      SaveError: It did.
    """
    for folder in self._folders():
      folder.check()

  def wait(self) -> None:
    """Blocks until the running saves are on disk.

    Raises:
      SaveError: One failed.
    """
    for folder in self._folders():
      folder.wait()

  def close(self) -> None:
    """Waits, then releases the folders.

    Raises:
      SaveError: A save failed, and that was not raised before.
    """
    with self._held:
      for folder in self._folders():
        folder.close()

  def _folders(self) -> list[CheckpointFolder]:
    """The local one first: at the same step it is the faster one."""
    return [self._main] if self._local is None else [self._local, self._main]
