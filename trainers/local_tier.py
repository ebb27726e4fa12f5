# SPDX-License-Identifier: Apache-2.0
"""The folder of a run on a fast disk: its own, whatever was copied or cut off.

It has the name of an id that lies with the run's checkpoints, and says where
these are. A workdir that was copied took the id along, and gets another.
"""

import contextlib
import json
import pathlib
import re
import sys
import uuid

import jax

from ramjax.evals.replaced_file import replace_file
from ramjax.trainers import processes, workdir_lock
from ramjax.trainers.checkpoint_folder import SaveError
from ramjax.trainers.checkpoint_step import first_line

# In the checkpoint folder: whose the checkpoints in a local folder are.
RUN_ID_FILE = "run_id"
# In a local folder: the checkpoint folder of the run that it is of.
OWNER_FILE = "owner"
_ID = re.compile(rb"([0-9a-f]{32})\n?")


def claim(
  local_dir: str, checkpoints: pathlib.Path, held: contextlib.ExitStack
) -> pathlib.Path:
  """The folder of this run in `local_dir`, made if missing, and locked.

  All processes call it.

  Args:
    local_dir: `checkpoint.local_dir`.
    checkpoints: The checkpoint folder in the run's workdir, which exists.
    held: Releases the lock when it is closed, on the first process.

  Raises:
    InUseError: Another job holds the folder.
    SaveError: It cannot be made or written to, or the id cannot.
    ValueError: Not all processes see it. Or another process failed.
  """
  folder = pathlib.Path(
    processes.first_tells(lambda: str(_claimed(local_dir, checkpoints, held)))
  )
  _require_shared(folder)
  return folder


def _claimed(
  local_dir: str, checkpoints: pathlib.Path, held: contextlib.ExitStack
) -> pathlib.Path:
  run_id = _run_id(checkpoints)
  mine = json.dumps(str(checkpoints))  # ASCII, whatever a path is made of.
  try:
    root = pathlib.Path(local_dir).expanduser().resolve()
    folder = root / run_id
    if (owner := _owner(folder)) not in (None, mine):
      print(
        f"ramjax: {checkpoints} was copied or moved: the local checkpoints in"
        f" {folder} are those of {owner}, and this run does not use them."
        " Delete them if no run does.",
        file=sys.stderr,
        flush=True,
      )
      folder = root / _new_run_id(checkpoints)
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(workdir_lock.held(folder, is_first=True))
    replace_file(folder / OWNER_FILE, [mine + "\n"])
  except workdir_lock.InUseError as error:
    raise workdir_lock.InUseError(
      f"checkpoint.local_dir={local_dir!r}: {error}"
    ) from error
  except SaveError:
    raise
  except (OSError, RuntimeError) as error:
    # A home that is not known, as in `~nobody/fast`, is a RuntimeError.
    raise SaveError(
      f"checkpoint.local_dir={local_dir!r} cannot be used:"
      f" {first_line(error)}. Name a folder in which this user may write, on a"
      " disk that has room; it is made where it is missing. Or leave it empty,"
      " with checkpoint.local_every_steps=0."
    ) from error
  return folder


def _run_id(checkpoints: pathlib.Path) -> str:
  """A name for this run's folder among the local ones.

  The path of the workdir would not do: a run that was deleted and began anew in
  the same place would go on from the old one's checkpoints.
  """
  path = checkpoints / RUN_ID_FILE
  if path.exists() and (found := _ID.fullmatch(path.read_bytes())):
    return found[1].decode()
  return _new_run_id(checkpoints)


def _new_run_id(checkpoints: pathlib.Path) -> str:
  path = checkpoints / RUN_ID_FILE
  made = uuid.uuid4().hex
  try:
    replace_file(path, [made + "\n"])
  except OSError as error:
    raise SaveError(
      f"{path} could not be written: {first_line(error)}. See that the disk has"
      " room (df -h) and that the folder may be written to."
    ) from error
  return made


def _owner(folder: pathlib.Path) -> str | None:
  """Whose a local folder is, as it is written; None where nothing says it."""
  path = folder / OWNER_FILE
  if not path.exists():
    return None  # A new folder, or an earlier version's.
  return path.read_bytes().decode(errors="replace").removesuffix("\n")


def _require_shared(folder: pathlib.Path) -> None:
  """Raises where a process would look for its shards on another machine."""
  if jax.process_count() == 1:
    return
  name = processes.first_tells(lambda: f"shared-{uuid.uuid4().hex}")
  mark = folder / name

  def look() -> None:
    if not mark.exists():
      raise ValueError(
        f"checkpoint.local_dir: process {jax.process_index()} does not see what"
        f" process 0 writes in {folder}. With several processes it must be a"
        " folder that all of them share (processes of one machine, or a shared"
        " file system); else leave it empty."
      )

  if processes.is_first():
    mark.touch()
  processes.together(lambda: None)  # The mark is there, if anywhere.
  try:
    processes.together(look)
  finally:
    if processes.is_first():
      mark.unlink()
