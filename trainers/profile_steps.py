# SPDX-License-Identifier: Apache-2.0
"""A trace of some steps, for xprof: `run.profile_steps="10-12"`."""

import pathlib
import re
from typing import Any

import jax

PROFILE_DIR = "profile"


def parse_steps(text: str, total_steps: int) -> range:
  """The steps to trace, counted from 1; empty for "".

  Args:
    text: "FIRST-LAST", or one number, or "".
    total_steps: Of the run.

  Raises:
    ValueError: Neither of these, or not steps of the run.
  """
  if not text:
    return range(0)
  match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
  first, last = 0, 0
  if match is not None:
    first, last = int(match[1]), int(match[2] or match[1])
  if not 1 <= first <= last <= total_steps:
    raise ValueError(
      f"run.profile_steps={text!r} must be FIRST-LAST, steps of the run's"
      f" {total_steps} counted from 1, such as '10-12'."
    )
  return range(first, last + 1)


class Profile:
  """Traces while it is within its steps; a context that ends what is open.

  The first step of a process is its compiler's: begin later. A process that
  continues after the first of the steps traces none of them.
  """

  def __init__(self, steps: range, workdir: pathlib.Path):
    """Nothing is traced before the first of the steps.

    Args:
      steps: From `parse_steps`.
      workdir: The trace goes to `profile` in it, as `xprof --logdir` reads it.
    """
    self._steps = steps
    self._folder = workdir / PROFILE_DIR
    self._is_tracing = False

  def __enter__(self) -> "Profile":
    return self

  def __exit__(self, *_: Any) -> None:
    self._stop()

  def before(self, step: int) -> None:
    """Begins, where this is the first of the steps."""
    if self._steps and step == self._steps[0]:
      jax.profiler.start_trace(str(self._folder))
      self._is_tracing = True

  def after(self, step: int, result: Any) -> None:
    """Ends after the last of the steps, once the device has its result."""
    if self._is_tracing and step == self._steps[-1]:
      jax.block_until_ready(result)
      self._stop()

  def _stop(self) -> None:
    if self._is_tracing:
      jax.profiler.stop_trace()
      self._is_tracing = False
