# SPDX-License-Identifier: Apache-2.0
"""A file of rows that a command writes in chunks, and continues after a kill.

Beside `FILE` lies `FILE.run.json`, which says what made the rows: another
command does not continue them. A chunk is on disk whole or is made again, so
that a file is the same whether its command was killed or not.
"""

import fcntl
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.models import model_folder, strict_json

SIDE_SUFFIX = ".run.json"
_MAX_SIDE_BYTES = 2**20
_FORMAT = 1


class ResumedRows:
  """An open file of rows; a context manager.

  Attributes:
    num_rows: Rows that are there, of whole chunks.
  """

  def __init__(
    self,
    path: pathlib.Path,
    command: Mapping[str, Any],
    *,
    chunk: int,
    total: int,
    force: bool = False,
  ):
    """Opens a file for its next chunk.

    Args:
      path: The file; its folder exists.
      command: What decides the rows, of JSON's types.
      chunk: Rows of a chunk.
      total: Rows of the finished file.
      force: Start over whatever is there.

    Raises:
      ValueError: The file has other rows than those of this command, or another
        process writes it.
    """
    self._side = path.with_name(path.name + SIDE_SUFFIX)
    # As it will be read: tuples become lists.
    command = json.loads(json.dumps({"format": _FORMAT, **command}))
    if not force:
      self._refuse_others(path, command)
    self._file = open(path, "a+b")
    try:
      self._lock(path)
      if force:
        # Before the side file, for these rows are of the old one.
        self._file.truncate(0)
      if force or not self._side.exists():
        self._write_side(command)
      self.num_rows = self._keep_whole_chunks(path, chunk, total)
    except BaseException:
      self._file.close()
      raise

  def __enter__(self) -> "ResumedRows":
    return self

  def __exit__(self, *unused: object) -> None:
    self._file.close()

  def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows of the next chunk.

    Raises:
      ValueError: A number that is not finite.
    """
    lines = [json.dumps(row, allow_nan=False) + "\n" for row in rows]
    self._file.write("".join(lines).encode())
    self._file.flush()
    os.fsync(self._file.fileno())
    self.num_rows += len(rows)

  def _refuse_others(
    self, path: pathlib.Path, command: Mapping[str, Any]
  ) -> None:
    if not self._side.exists():
      if path.exists() and path.stat().st_size:
        raise ValueError(
          f"{path} exists, and there is no {self._side.name} beside it that"
          " says how it was made: give another file, or --force to write it"
          " anew."
        )
      return
    data = model_folder.read_capped(self._side, max_bytes=_MAX_SIDE_BYTES)
    there = strict_json.parse_object(data, what=str(self._side))
    changed = differences(there, command)
    if changed:
      raise ValueError(
        f"{path} was begun by another command ({'; '.join(changed)}): give what"
        " it was begun with to continue it, another file, or --force to write"
        " it anew."
      )

  def _lock(self, path: pathlib.Path) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f"{path} is being written by another process: wait for it, or give"
        " another file."
      ) from error

  def _write_side(self, command: Mapping[str, Any]) -> None:
    # So that a kill leaves it whole or not there.
    temporary = self._side.with_name(self._side.name + ".tmp")
    temporary.write_text(json.dumps(command, indent=2) + "\n")
    temporary.replace(self._side)

  def _keep_whole_chunks(
    self, path: pathlib.Path, chunk: int, total: int
  ) -> int:
    """Cuts the file behind its last whole chunk; the rows that are left."""
    self._file.seek(0)
    num_rows = end = kept = kept_to = 0
    while (line := self._file.readline()).endswith(b"\n"):
      num_rows += 1
      end += len(line)
      if num_rows % chunk == 0 or num_rows == total:
        kept, kept_to = num_rows, end
    if num_rows > total:
      raise ValueError(
        f"{path} has {num_rows} rows, and the command makes {total}: something"
        " else wrote to it. Give another file, or --force to write it anew."
      )
    self._file.truncate(kept_to)
    return kept


def differences(there: Any, now: Any, name: str = "") -> list[str]:
  """What two JSON values do not have alike, such as "seed: 0 there, 1 now"."""
  if isinstance(there, dict) and isinstance(now, dict):
    prefix = f"{name}." if name else ""
    return [
      found
      for key in sorted({*there, *now})
      for found in differences(there.get(key), now.get(key), prefix + key)
    ]
  if there == now:
    return []
  return [f"{name}: {_short(there)} there, {_short(now)} now"]


def _short(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= 80 else text[:80] + "..."
