# SPDX-License-Identifier: Apache-2.0
"""Goodput: which share of the time of a run went into steps that count.

Every moment between the start of a process and its end belongs to one phase.
The host's clock alone is read, at places the loop passes anyway; nothing waits
for the device. What each process came to is kept in `goodput.jsonl`, so that the
account goes on over restarts: the time in which no process ran is `down`, and
steps that an earlier process had done already are `replayed`.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

GOODPUT_FILE = "goodput.jsonl"

# Phases, in the order in which they are told.
STEP = "step"
ROLLOUT = "rollout"
REPLAYED = "replayed"
INITIALISATION = "initialisation"
COMPILE = "compile"
DATA = "data"
EVALUATION = "evaluation"
BENCHMARKS = "benchmarks"
CHECKPOINT = "checkpoint"
REPLICAS = "replicas"
DOWN = "down"
# What counts: updates, and the answers they learn from.
USEFUL = (STEP, ROLLOUT)


@dataclasses.dataclass
class Phase:
  """A stretch of time; its name may still change while it lasts."""

  name: str


class Goodput:
  """The account of one process, on top of those before it."""

  def __init__(
    self,
    workdir: pathlib.Path | None,
    *,
    clock: Callable[[], float] = time.time,
  ):
    """Reads the account so far; the first phase is `initialisation`.

    Args:
      workdir: Of the run; None keeps nothing, as in all processes but one.
      clock: Seconds, the same for all processes.
    """
    self._path = None if workdir is None else workdir / GOODPUT_FILE
    self._clock = clock
    self._started = self._since = clock()
    self._stack = [Phase(INITIALISATION)]
    self._seconds: dict[str, float] = {}
    self._step = 0
    text = "" if self._path is None else _text_of(self._path)
    self._is_torn = text != "" and not text.endswith("\n")
    records, num_strange = _records(text)
    if num_strange:
      print(
        f"{self._path}: passed over {num_strange} line(s) that are no records"
        " of this account.",
        file=sys.stderr,
      )
    # The last of each process, in their order.
    earlier = list({record["started"]: record for record in records}.values())
    self._earlier = [entry["seconds"] for entry in earlier]
    self._reached = max((entry["step"] for entry in earlier), default=0)
    if earlier and not earlier[-1]["finished"]:
      # A run that had finished was not down until it was made longer.
      self._add(DOWN, max(self._started - earlier[-1]["at"], 0.0))

  @contextlib.contextmanager
  def phase(self, name: str) -> Iterator[Phase]:
    """A stretch of time under a name, cut out of the one it lies in."""
    self._charge()
    self._stack.append(Phase(name))
    try:
      yield self._stack[-1]
    finally:
      self._charge()
      self._stack.pop()

  def begin(self, step: int) -> None:
    """From here on the time is that of steps; `step` are done already."""
    self._charge()
    self._stack[0].name = STEP
    self._step = step

  def step_done(self, step: int) -> None:
    """Step number `step` is over, as far as the host knows."""
    self._charge()
    self._step = step

  def write(self, *, finished: bool = False) -> None:
    """Appends what this process came to so far; the last line counts."""
    self._charge()
    if self._path is None:
      return
    record = {
      "started": self._started,
      "at": self._since,
      "step": self._step,
      "finished": finished,
      "seconds": {name: round(s, 3) for name, s in self._seconds.items()},
    }
    with self._path.open("a") as file:
      # A line that a kill tore is closed first.
      file.write("\n" * self._is_torn + json.dumps(record) + "\n")
    self._is_torn = False

  def totals(self) -> dict[str, float]:
    """Seconds by phase, of all processes of the run."""
    self._charge()
    return _summed([*self._earlier, self._seconds])

  def described(self) -> str:
    """One line: the share that counts, and where the rest went."""
    totals = self.totals()
    wall = sum(totals.values())
    useful = sum(totals.get(name, 0.0) for name in USEFUL)
    rest = sorted(
      ((s, name) for name, s in totals.items() if name not in USEFUL),
      reverse=True,
    )
    told = ", ".join(
      f"{name} {_share(seconds, wall)}"
      for seconds, name in rest
      if seconds >= 0.001 * wall
    )
    starts = len(self._earlier) + 1
    said = f"goodput {_share(useful, wall)} of {_duration(wall)}"
    if starts > 1:
      said += f" in {starts} starts"
    return said + (f": {told}" if told else "")

  def _charge(self) -> None:
    now = self._clock()
    name = self._stack[-1].name
    if name in USEFUL and self._step < self._reached:
      name = REPLAYED
    self._add(name, max(now - self._since, 0.0))
    self._since = now

  def _add(self, name: str, seconds: float) -> None:
    self._seconds[name] = self._seconds.get(name, 0.0) + seconds


def furthest_step(workdir: pathlib.Path) -> int:
  """The last step that any process of a run told of; 0 where none did."""
  records, _ = _records(_text_of(workdir / GOODPUT_FILE))
  return max((record["step"] for record in records), default=0)


def _text_of(path: pathlib.Path) -> str:
  """What is in a file of accounts, damaged as it may be."""
  if not path.exists():
    return ""
  return path.read_text("utf-8", errors="replace")


def _records(text: str) -> tuple[list[dict[str, Any]], int]:
  """The records in a text, and how many whole lines are none."""
  found, num_strange = [], 0
  for line in text.splitlines():
    try:
      record = json.loads(line)
    except ValueError:  # Torn by a kill.
      continue
    if _is_record(record):
      found.append(record)
    else:
      num_strange += 1
  return found, num_strange


def _is_record(value: Any) -> bool:
  """Whether this is what `Goodput.write` writes."""
  if not isinstance(value, dict):
    return False
  seconds = value.get("seconds")
  return (
    isinstance(seconds, dict)
    and all(
      _is_number(number)
      for number in (value.get("started"), value.get("at"), *seconds.values())
    )
    and type(value.get("step")) is int
    and isinstance(value.get("finished"), bool)
  )


def _is_number(value: Any) -> bool:
  return type(value) in (int, float) and math.isfinite(value)


def _summed(accounts: list[Mapping[str, float]]) -> dict[str, float]:
  totals: dict[str, float] = {}
  for account in accounts:
    for name, seconds in account.items():
      totals[name] = totals.get(name, 0.0) + seconds
  return totals


def _share(part: float, whole: float) -> str:
  return f"{part / whole if whole else 0.0:.1%}".replace("%", " %")


def _duration(seconds: float) -> str:
  for unit, size in (("h", 3600), ("min", 60)):
    if seconds >= 2 * size:
      return f"{seconds / size:.1f} {unit}"
  return f"{seconds:.1f} s"
