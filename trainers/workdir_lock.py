# SPDX-License-Identifier: Apache-2.0
"""One job at a time in a workdir: a lock that a kill releases, too.

The operating system holds it (flock), not the file, so that none is ever left
over. Whoever only reads the workdir needs no lock.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

FILE = "run.lock"
# What file systems say that have no locks, such as gcsfuse and some NFS mounts.
_UNSUPPORTED = frozenset(
  {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}
)


class InUseError(ValueError):
  """Another job runs in the workdir."""


@contextlib.contextmanager
def held(workdir: pathlib.Path, *, is_first: bool) -> Iterator[None]:
  """Holds the workdir for this job.

  Args:
    workdir: Made if missing, and removed again if nothing came to lie in it.
    is_first: Whether this is the process of the job that holds it for all; the
      others do nothing.

  Raises:
    InUseError: Another job holds it; says which and what to do.
  """
  if not is_first:
    yield
    return
  made = not workdir.exists()
  path = workdir / FILE
  file = None
  while file is None:
    workdir.mkdir(parents=True, exist_ok=True)
    file = _open_locked(path)
  with os.fdopen(file, "r+b") as opened:
    _describe_self(opened)
    try:
      yield
    finally:
      # While it is held: whoever waits for this file finds another, or none.
      path.unlink(missing_ok=True)
      if made:
        with contextlib.suppress(OSError):
          workdir.rmdir()


def _open_locked(path: pathlib.Path) -> int | None:
  """A descriptor that holds the lock; None if the file was just removed."""
  descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
  try:
    _lock(descriptor, path)
    if _is_at(descriptor, path):
      return descriptor
  except BaseException:
    os.close(descriptor)
    raise
  os.close(descriptor)
  return None


def _lock(descriptor: int, path: pathlib.Path) -> None:
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise InUseError(_refusal(path)) from error
  except OSError as error:
    if error.errno not in _UNSUPPORTED:
      raise
    print(
      f"ramjax: {path.parent} is on a file system without locks"
      f" ({error.strerror}): see that no second run uses it.",
      file=sys.stderr,
      flush=True,
    )


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
  """Whether the file that was opened is still the one with that name."""
  try:
    named = path.stat()
  except FileNotFoundError:
    return False
  opened = os.fstat(descriptor)
  return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _describe_self(file: BinaryIO) -> None:
  holder = {
    "pid": os.getpid(),
    "host": socket.gethostname(),
    "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
  }
  file.truncate(0)
  file.write(json.dumps(holder).encode() + b"\n")
  file.flush()


def _refusal(path: pathlib.Path) -> str:
  try:
    holder = json.loads(path.read_text())
    who = (
      f"process {holder['pid']} on {holder['host']} runs in it since"
      f" {holder['since']}"
    )
  except (OSError, ValueError, KeyError, TypeError):
    who = "another process runs in it"  # One that is just starting.
  return (
    f"{path.parent} is in use: {who}. Wait for it to end, stop it (kill it with"
    " SIGTERM and it saves a checkpoint), or give another --workdir. Nothing was"
    " changed there."
  )
