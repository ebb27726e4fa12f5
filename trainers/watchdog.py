# SPDX-License-Identifier: Apache-2.0
"""A run that hangs says where, and ends.

A lost collective, a dead disk or a data loader that waits for ever leaves a
process that looks alive and costs as much as one that is. The watchdog is a
thread beside the run: after T seconds in which no step ended it writes what
every Python thread is doing, and after 2 T it ends the process, so that a
supervisor can start it again. What takes longer than a step, as reading what the
run starts from, has a T of its own.
"""

import contextlib
import dataclasses
import faulthandler
import math
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ramjax.trainers import exit_status

STACKS_FILE = "stacks.txt"
_STDERR = 2

# Looks within the T of a step. A look that comes late, since the whole process
# was stopped or the machine slept, counts as one: nothing hung then.
_LOOKS = 20
_STEP = "a step"


@dataclasses.dataclass
class _Stretch:
  """Something that goes on, from when something last ended.

  One is replaced by another, and never changed but for its count, which the
  watchdog's thread alone writes: no look sees the count of one stretch beside
  the limit of another.

  Attributes:
    doing: What, for the message.
    limit: How many looks it may take.
    looks: That it took so far.
  """

  doing: str
  limit: int
  looks: int = 0


class Watchdog:
  """Counts looks since the last step; a context in which its thread runs."""

  def __init__(
    self,
    seconds: float,
    workdir: pathlib.Path,
    *,
    long_seconds: float,
    leave: Callable[[int], Any] = os._exit,
  ):
    """Starts nothing yet.

    Args:
      seconds: T of a step; 0 looks at nothing.
      workdir: `stacks.txt` is written there.
      long_seconds: T of what takes longer: see `during`.
      leave: Ends the process with a status, without waiting for anything: what
        hangs would hang an orderly end, too.

    Raises:
      ValueError: `seconds` is negative or no number, or `long_seconds` is less
        or no number.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
      raise ValueError(
        f"run.watchdog_seconds={seconds} must be finite and at least 0; 0 turns"
        " the watchdog off."
      )
    if not (math.isfinite(long_seconds) and long_seconds >= seconds):
      raise ValueError(
        f"run.watchdog_long_seconds={long_seconds} must be finite and at least"
        f" run.watchdog_seconds={seconds}: it is for what takes longer than a"
        " step."
      )
    self._seconds = seconds
    self._path = workdir / STACKS_FILE
    self._leave = leave
    self._now = _Stretch(_STEP, _LOOKS)
    longer = long_seconds / seconds if seconds else 1.0
    self._long_limit = math.ceil(_LOOKS * longer)
    self._over = threading.Event()
    self._thread: threading.Thread | None = None

  def __enter__(self) -> "Watchdog":
    if self._seconds:
      self._over.clear()
      self.beat()
      self._thread = threading.Thread(
        target=self._watch, name="watchdog", daemon=True
      )
      self._thread.start()
    return self

  def __exit__(self, *_: Any) -> None:
    self._over.set()
    if self._thread is not None:
      self._thread.join()

  def beat(self) -> None:
    """Something ended: the count starts anew."""
    self._now = _Stretch(self._now.doing, self._now.limit)

  @contextlib.contextmanager
  def during(self, doing: str) -> Iterator[None]:
    """A stretch that may take longer than a step: its T is `long_seconds`.

    Args:
      doing: What, for the message.
    """
    before = self._now
    self._now = _Stretch(doing, self._long_limit)
    try:
      yield
    finally:
      self._now = _Stretch(before.doing, before.limit)

  def look(self) -> None:
    """One look; writes stacks at T and ends the process at 2 T."""
    now = self._now
    now.looks += 1
    if now.looks == now.limit:
      self._write_stacks(now)
    elif now.looks >= 2 * now.limit:
      print(
        f"watchdog: still {now.doing} after {self._seconds_of(2 * now.limit)} s:"
        f" ending this process with status {exit_status.HUNG}.",
        file=sys.stderr,
        flush=True,
      )
      self._leave(exit_status.HUNG)

  def _watch(self) -> None:
    while not self._over.wait(self._seconds / _LOOKS):
      self.look()

  def _seconds_of(self, looks: int) -> str:
    return f"{looks / _LOOKS * self._seconds:g}"

  def _write_stacks(self, now: _Stretch) -> None:
    field = "watchdog_seconds"
    if now.doing != _STEP:
      field = "watchdog_long_seconds"
    said = (
      f"watchdog: {now.doing} has not ended for {self._seconds_of(now.limit)} s"
      f" (run.{field}); every thread is at:"
    )
    print(said, file=sys.stderr, flush=True)
    faulthandler.dump_traceback(_STDERR, all_threads=True)
    # A disk that hangs must not keep the process alive: the file comes after
    # the terminal, and the count goes on in a thread of its own.
    threading.Thread(
      target=self._save, args=(said,), name="stacks", daemon=True
    ).start()

  def _save(self, said: str) -> None:
    # Before the data is read there may be no folder yet.
    self._path.parent.mkdir(parents=True, exist_ok=True)
    with self._path.open("a") as file:
      file.write(f"process {os.getpid()}: {said}\n")
      file.flush()
      faulthandler.dump_traceback(file, all_threads=True)
