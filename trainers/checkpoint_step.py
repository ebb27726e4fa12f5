# SPDX-License-Identifier: Apache-2.0
"""One step's folder, as a process reads it: sound, damaged, or not now.

Damaged is what is not there, does not parse, or is not what was saved. A disk that
does not answer and a machine without memory say nothing about the files.
"""

import dataclasses
import errno
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax

from ramjax.models import saved_digests
from ramjax.models.saved_digests import MISSING, Damaged
from ramjax.trainers import data_position, processes, state_items
from ramjax.trainers.run_error import PassingError

DATA_ITEM = "data"
PROGRESS_ITEM = "progress"
# Where Orbax's JSON handler puts a value.
_PROGRESS_FILE = "metadata"


class ReadError(PassingError):
  """A checkpoint could not be read, and may be sound: nothing was changed."""


@dataclasses.dataclass(frozen=True)
class Read:
  """What one process read.

  Attributes:
    items: By name.
    damaged: What is wrong with the files, if anything.
  """

  items: dict[str, Any]
  damaged: str | None


def record(at: pathlib.Path, step: int) -> dict[str, Any]:
  """The digests of a step whose texts are sound, or what is wrong with it.

  Args:
    at: The step's folder.
    step: What its name says.

  Returns:
    As JSON: `arrays`, None of an earlier version, which wrote no digests; or
    `damaged`, why it is not what was saved.

  Raises:
    ReadError: It cannot be read, for want of something else.
    ValueError: Of a format that this version does not know.
  """
  try:
    record = saved_digests.read(at)
    if record is None:
      return {"arrays": None}
    saved_digests.require_step(record, step)
    files = {
      DATA_ITEM: at / DATA_ITEM / data_position.FILE,
      PROGRESS_ITEM: at / PROGRESS_ITEM / _PROGRESS_FILE,
    }
    for item, path in files.items():
      _require_text(path, record["texts"][item])
  except Damaged as error:
    return {"damaged": str(error)}
  except OSError as error:
    raise _read_error(at, error) from error
  return {"arrays": record["arrays"]}


def read(at: pathlib.Path, wanted: Mapping[str, Any]) -> Read:
  """What this process is to hold of a step.

  No part of it waits for other processes, which may fail here.

  Args:
    at: The step's folder.
    wanted: Trees of what has shapes, dtypes and shardings, by item.

  Raises:
    ReadError: It cannot be read, for want of something else.
    jax.errors.JaxRuntimeError: A device has no room.
  """
  if not processes.sees(at.exists):
    raise ReadError(
      f"{at} is not there for process {jax.process_index()}, and process 0 sees"
      " it: --workdir and checkpoint.local_dir must be folders that all see."
    )
  try:
    items = {name: state_items.read(at / name, x) for name, x in wanted.items()}
    items[DATA_ITEM] = data_position.read(at / DATA_ITEM)
    progress = (at / PROGRESS_ITEM / _PROGRESS_FILE).read_bytes()
    items[PROGRESS_ITEM] = json.loads(progress)
  except jax.errors.JaxRuntimeError:
    # A device out of memory: nothing about the files.
    raise
  except Exception as error:
    # Orbax and tensorstore raise whatever a damaged file leads them to.
    cause = _first_cause(error)
    if _is_of_the_machine(cause):
      raise _read_error(at, cause) from error
    return Read({}, f"cannot be read: {first_line(cause)}")
  return Read(items, None)


def move(at: pathlib.Path, batches: Any, position: Any) -> str | None:
  """Moves `batches` to the position of a step.

  Args:
    at: The step's folder.
    batches: The run's iterator.
    position: What `read` found; with a rollout, which is in a file beside the
      checkpoints, its digest.

  Returns:
    What is wrong with that file, if anything.

  Raises:
    ReadError: It cannot be read, for want of something else.
    ValueError: The config is one that `batches` cannot go on with.
  """
  try:
    batches.set_state(position)
    batches.start_prefetch()
  except Damaged as error:
    return str(error)
  except (PassingError, *MISSING):
    # It says more; or rows are gone, which is nothing about the checkpoint.
    raise
  except (OSError, MemoryError) as error:
    raise _read_error(at, error) from error
  return None


def _is_of_the_machine(error: BaseException) -> bool:
  """Whether a sound file might fail so: no memory, a disk that is away."""
  if isinstance(error, MISSING):
    return False
  if isinstance(error, (OSError, MemoryError)):
    return True
  # Tensorstore raises other errors, and puts the system's number behind them.
  told = re.search(r"os_error_code='(\d+)'", str(error))
  return told is not None and int(told[1]) not in (errno.ENOENT, errno.ENOTDIR)


def _first_cause(error: BaseException) -> BaseException:
  """What is below an error: Orbax hides what tensorstore said of a file."""
  while error.__cause__ is not None:
    error = error.__cause__
  return error


def _read_error(at: pathlib.Path, error: BaseException) -> ReadError:
  return ReadError(
    f"{at} cannot be read now: {first_line(error)}. It may be sound, so nothing"
    " was changed: see that its disk answers and that there is memory, then run"
    " the same command again. If it cannot be had back, move it away: the run"
    " goes on from the checkpoint before."
  )


def _require_text(path: pathlib.Path, digest: str) -> None:
  name = f"{path.parent.name}/{path.name}"
  try:
    value = json.loads(path.read_bytes())
  except (*MISSING, ValueError) as error:
    raise Damaged(f"{name} cannot be read: {first_line(error)}") from error
  if saved_digests.text_digest(value) != digest:
    raise Damaged(f"the digest of {name} is not the one saved")


def first_line(error: BaseException) -> str:
  """What an error says, without the notes that libraries put behind it."""
  lines = str(error).splitlines() or [""]
  text = lines[0] if len(lines[0]) <= 300 else f"{lines[0][:300]}..."
  return f"{type(error).__name__}: {text}" if text else type(error).__name__
