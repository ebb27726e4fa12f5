# SPDX-License-Identifier: Apache-2.0
"""Where a run is in its data, in a checkpoint: one place for all processes.

Each process makes the whole batches, in the same order, so that all are at the
same place, and a run goes on with any number of processes. (Grain's own handler
writes a file a process, and reads those of as many processes alone.)
"""

import dataclasses
import json
import pathlib
from typing import Any

import orbax.checkpoint as ocp

from ramjax.trainers import processes

FILE = "position.json"
# What Grain's handler wrote, of a run in one process.
_GRAINS_FILE = "process_0-of-1.json"


class _Handler(ocp.CheckpointHandler):
  """Writes and reads the state of an iterator as JSON."""

  def save(self, directory: Any, args: "Save") -> None:
    if not processes.is_first():
      return
    text = json.dumps(args.batches.get_state(), indent=2)
    (pathlib.Path(directory) / FILE).write_text(text)

  def restore(self, directory: Any, args: "Restore") -> Any:
    return read(pathlib.Path(directory))


@ocp.args.register_with_handler(_Handler, for_save=True)
@dataclasses.dataclass
class Save(ocp.args.CheckpointArgs):
  """Saves the position of `batches`, a Grain iterator or `OnlineBatches`."""

  batches: Any


@ocp.args.register_with_handler(_Handler, for_restore=True)
@dataclasses.dataclass
class Restore(ocp.args.CheckpointArgs):
  """Reads it; Orbax wants to know how before it lets one be saved."""


def read(directory: pathlib.Path) -> Any:
  """The position that was saved in an item's folder, for `set_state`.

  Raises:
    ValueError: There is none that all processes share, or it is no JSON.
  """
  path = directory / FILE
  if not path.exists():
    path = directory / _GRAINS_FILE
  if not path.exists():
    raise ValueError(
      f"{path.with_name(FILE)} does not exist: the checkpoint is damaged, or of"
      " several processes that each read rows of their own, as earlier versions"
      " did. Go on from it with that version, or start anew from its weights"
      " (init.from_run)."
    )
  return json.loads(path.read_text())
