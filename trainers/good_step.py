# SPDX-License-Identifier: Apache-2.0
"""The newest checkpoint that is what was saved, and what was passed over.

Damaged ones are set aside under another name, never deleted; but only where a
good one is found, for else the next launch would find none and start anew.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ramjax.models.saved_digests import Damaged
from ramjax.trainers import processes, state_items
from ramjax.trainers.checkpoint_folder import CheckpointFolder, Restored
from ramjax.trainers.state import TrainState


class NoGoodStepError(ValueError):
  """There are checkpoints, and none of them can be used."""


@dataclasses.dataclass(frozen=True)
class GoodStep:
  """What a run goes on from.

  Attributes:
    step: Of the checkpoint.
    restored: What it held.
    notes: Sentences to say: what was rejected and why, what is not proven.
  """

  step: int
  restored: Restored
  notes: list[str]


def restore_newest(
  folders: Sequence[CheckpointFolder], like: TrainState, batches: Any
) -> GoodStep | None:
  """Walks back from the newest checkpoint to one that is good.

  Args:
    folders: Where checkpoints are; at the same step the first one is read.
    like: A state of the same shapes, on the mesh to restore onto; where there
      is a checkpoint, its arrays are deleted.
    batches: The run's iterator; moved.

  Returns:
    The checkpoint; None where there is none at all.

  Raises:
    NoGoodStepError: There are some, and all are damaged; or all that there
      were have been set aside.
    ReadError: The newest one may be sound and cannot be read now.
    ValueError: The newest one that is sound is of a state with other arrays, or
      of a config that `batches` cannot go on with. Or another process failed.
  """
  # One list for all: a network's file system may show another to each.
  candidates = processes.first_tells(
    lambda: sorted(
      (-step, place)
      for place, folder in enumerate(folders)
      for step in folder.steps()
    )
  )
  if candidates:
    like = state_items.make_room(like)
  rejected: list[tuple[CheckpointFolder, int, str]] = []
  for minus_step, place in candidates:
    step, folder = -minus_step, folders[place]
    try:
      restored = folder.restore(step, like, batches)
    except Damaged as error:
      rejected.append((folder, step, str(error)))
      continue
    return GoodStep(step, restored, _notes(folder, step, restored, rejected))
  if rejected:
    raise NoGoodStepError(
      "no checkpoint of this run can be used:\n  "
      + "\n  ".join(
        f"{folder.path(step)}: {reason}" for folder, step, reason in rejected
      )
      + "\nNothing was changed. Bring one back from a copy, or move these away"
      " to start the run anew."
    )
  _refuse_only_aside(folders)
  return None


def _notes(
  folder: CheckpointFolder,
  step: int,
  restored: Restored,
  rejected: Sequence[tuple[CheckpointFolder, int, str]],
) -> list[str]:
  notes = []
  for other, bad, reason in rejected:
    moved = other.set_aside(bad)
    notes.append(
      f"checkpoint of step {bad} rejected: {reason}; it is now {moved}"
    )
  if not restored.is_proven:
    notes.append(
      f"checkpoint of step {step} in {folder.directory} has no digests, as an"
      " earlier version wrote it: what was read is not proven"
    )
  return notes


def _refuse_only_aside(folders: Sequence[CheckpointFolder]) -> None:
  aside = processes.first_tells(
    lambda: [
      str(folder.directory / name)
      for folder in folders
      for name in folder.set_aside_before()
    ]
  )
  if aside:
    raise NoGoodStepError(
      "this run has no checkpoint but those that were rejected:\n  "
      + "\n  ".join(aside)
      + "\nBring a good one back, or move these away to start the run anew."
    )
