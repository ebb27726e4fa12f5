# SPDX-License-Identifier: Apache-2.0
"""SIGTERM as a wish to stop at the next good place."""

import signal
import threading
from typing import Any, Self


class Stopped(Exception):
  """SIGTERM arrived; what was done so far is on disk."""


class Sigterm:
  """A context in which SIGTERM is noted instead of ending the process."""

  def __init__(self):
    self.received = False

  def __enter__(self) -> Self:
    # Python delivers signals to the main thread only; elsewhere there is no
    # handler, and nothing stops early.
    self._installed = threading.current_thread() is threading.main_thread()
    if self._installed:
      self._previous = signal.signal(signal.SIGTERM, self._note)
    return self

  def __exit__(self, *_: Any) -> None:
    if self._installed:
      # None stands for a handler that is not Python's, such as the one of
      # `jax.distributed`, and cannot be put back.
      previous = signal.SIG_DFL if self._previous is None else self._previous
      signal.signal(signal.SIGTERM, previous)

  def check(self) -> None:
    """Raises if the signal came.

    Raises:
      Stopped: It did.
    """
    if self.received:
      raise Stopped

  def _note(self, *_: Any) -> None:
    self.received = True
