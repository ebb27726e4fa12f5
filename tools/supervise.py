# SPDX-License-Identifier: Apache-2.0
"""`ramjax supervise`: starts a run again where that helps, and only there."""

import argparse
import dataclasses
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from ramjax.tools import option_types
from ramjax.trainers import exit_status, goodput

_EXAMPLE = (
  "ramjax supervise -- ramjax train --config=sft_quickstart --workdir=runs/q"
)
_LONGEST_WAIT_S = 300.0
# Signals by which somebody asks for the end of a process.
_ASKED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def main(argv: Sequence[str]) -> int:
  """Runs a command until it finishes, fails for good, or makes no progress.

  Args:
    argv: The arguments behind `ramjax supervise`.

  Returns:
    The status of the last start of the command; 128 + the signal where one
    ended it. Wrong arguments exit with 2, as argparse does.
  """
  parser = _parser()
  args = parser.parse_args(argv)
  # Before Python 3.13 argparse leaves the dashes in.
  command = args.command[args.command[:1] == ["--"] :]
  if not command:
    parser.error(f"there is no command behind --, as in\n  {_EXAMPLE}")
  supervisor = Supervisor(
    command, max_restarts=args.max_restarts, wait_s=args.wait
  )
  return supervisor.run()


class Supervisor:
  """Starts one command again and again; forwards SIGTERM and SIGINT to it."""

  def __init__(
    self, command: Sequence[str], *, max_restarts: int, wait_s: float
  ):
    """Nothing is started yet.

    Args:
      command: Program and arguments. Where a `--workdir` is among them, a new
        checkpoint there is progress, and so is a step further than any before:
        checkpoints may lie elsewhere, too.
      max_restarts: Restarts in a row that follow a start without progress, at
        least 0; one more such start is the last.
      wait_s: Seconds before the first of them; each further one waits twice as
        long, up to 300. After progress there is no wait.
    """
    self._command = list(command)
    self._max_restarts = max_restarts
    self._wait_s = wait_s
    self._workdir = workdir_of(command)
    self._child: subprocess.Popen | None = None
    self._stopping = threading.Event()

  def run(self) -> int:
    """See `main`."""
    previous = {
      number: signal.signal(number, self._forward)
      for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
      return self._run()
    finally:
      for number, handler in previous.items():
        signal.signal(number, handler)

  def _run(self) -> int:
    fruitless = 0
    while True:
      before = Progress.of(self._workdir)
      status = self._start()
      if self._stopping.is_set() or not is_worth_a_restart(status):
        return status
      moved = Progress.of(self._workdir).is_beyond(before)
      fruitless = 0 if moved else fruitless + 1
      if fruitless > self._max_restarts:
        _say(
          f"status {status}, and no progress in {fruitless} starts in a row:"
          " giving up."
        )
        return status
      wait = 0.0
      if fruitless:
        wait = min(self._wait_s * 2 ** (fruitless - 1), _LONGEST_WAIT_S)
      made = "progress" if moved else "no progress"
      _say(f"status {status}, {made}: starting again in {wait:g} s.")
      if self._wait(wait):
        return status

  def _start(self) -> int:
    try:
      # A group of its own: a terminal's ^C reaches this process alone, which
      # forwards it, and not the command twice.
      self._child = subprocess.Popen(self._command, process_group=0)
    except OSError as error:
      _say(f"{self._command[0]} does not start: {error}")
      return 127  # As shells say.
    if self._stopping.is_set():
      self._child.terminate()
    status = self._child.wait()
    return 128 - status if status < 0 else status

  def _wait(self, seconds: float) -> bool:
    """Waits; returns whether a signal ended that."""
    return self._stopping.wait(seconds)

  def _forward(self, number: int, _: Any) -> None:
    self._stopping.set()
    if self._child is not None:
      self._child.send_signal(number)


def is_worth_a_restart(status: int) -> bool:
  """Whether the same command, started again, may come further.

  Args:
    status: As a shell counts: 128 + the signal that ended a process.
  """
  if status in exit_status.WORTH_A_RESTART:
    return True
  return status > 128 and status - 128 not in _ASKED


def workdir_of(command: Sequence[str]) -> pathlib.Path | None:
  """The `--workdir` of a command line; None where there is none."""
  for word, following in zip(command, [*command[1:], ""], strict=True):
    flag, equals, value = word.partition("=")
    if flag in ("--workdir", "-workdir"):
      return pathlib.Path(value if equals else following)
  return None


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a run has come, with all of its rounds.

  Attributes:
    checkpoints: Folders of finished ones in the workdir.
    steps: The furthest one, summed over rounds, as `goodput.jsonl` tells.
  """

  checkpoints: frozenset[pathlib.Path]
  steps: int

  @classmethod
  def of(cls, workdir: pathlib.Path | None) -> "Progress":
    """What a workdir shows; nothing where there is none."""
    if workdir is None:
      return cls(frozenset(), 0)
    folders = [workdir, *workdir.glob("*/")]
    return cls(
      checkpoints=frozenset(
        path
        for folder in folders
        for path in folder.glob("checkpoints/*")
        if path.name.isdecimal()
      ),
      steps=sum(map(goodput.furthest_step, folders)),
    )

  def is_beyond(self, before: "Progress") -> bool:
    """Whether something came since."""
    return bool(self.checkpoints - before.checkpoints) or (
      self.steps > before.steps
    )


def _say(text: str) -> None:
  print(f"ramjax supervise: {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
  codes = ", ".join(map(str, exit_status.WORTH_A_RESTART))
  parser = argparse.ArgumentParser(
    prog="ramjax supervise",
    usage="%(prog)s [--max-restarts=N] [--wait=SECONDS] -- COMMAND ...",
    description=(
      "Start a command, and start it again when it was stopped, hung, or lost a"
      f"\ndevice or another process (status {codes}, or a signal). Any other"
      " status ends\nthe supervisor with it: 1 is a mistake that would be made"
      " again. SIGTERM and\nSIGINT are forwarded, and nothing is started after"
      " them.\n\nA run of several processes has a supervisor beside each."
    ),
    epilog=f"example:\n  {_EXAMPLE}",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--max-restarts",
    type=option_types.count,
    default=5,
    metavar="N",
    help=(
      "restarts in a row after starts without a new checkpoint or a step further"
      " than before (default: 5, and so 6 such starts)"
    ),
  )
  parser.add_argument(
    "--wait",
    type=option_types.positive_float,
    default=5.0,
    metavar="SECONDS",
    help=(
      "before the first of those, doubled at each further one (default: 5)"
    ),
  )
  parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
  return parser
