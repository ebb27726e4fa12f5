# SPDX-License-Identifier: Apache-2.0
"""One `ramjax convert` command in a process of its own, timed and watched.

The child imports what the command needs, says so and waits, so that the parent
has measured its memory before anything is converted.
"""

import importlib
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.tools.bench_cases import CaseError

_READY = "ready"
_INTERVAL_S = 0.02
_COUNTED = ("RssAnon:", "RssShmem:")


class Conversion(NamedTuple):
  """What one command took.

  Attributes:
    seconds: Of the command, without the start of Python.
    start_seconds: Of the start: Python and the imports.
    base_bytes: Memory after the imports.
    growth_bytes: The most that memory was above that.
    num_samples: Times it was looked at.
  """

  seconds: float
  start_seconds: float
  base_bytes: int
  growth_bytes: int
  num_samples: int


class ConversionError(CaseError):
  """The command failed."""


def resident_bytes(process_id: int | str) -> int | None:
  """Resident memory of a process that is no page of a file (Linux).

  Mapped files are left out: the system takes their pages back at will.

  Args:
    process_id: Of the process, or "self".

  Returns:
    Anonymous and shared bytes; None once it has ended.
  """
  try:
    text = pathlib.Path(f"/proc/{process_id}/status").read_text()
  except (FileNotFoundError, ProcessLookupError):
    return None
  found = [
    int(line.split()[1]) * 1024
    for line in text.splitlines()
    if line.startswith(_COUNTED)
  ]
  return sum(found) if len(found) == len(_COUNTED) else None


def run(argv: Sequence[str], log: pathlib.Path) -> Conversion:
  """Runs a command of `ramjax convert` and watches its memory.

  Args:
    argv: "from-hf", say, and its arguments.
    log: A file that gets what it prints on its error stream.

  Raises:
    ConversionError: It failed; the message ends with the end of its log.
  """
  started = time.perf_counter()
  with (
    open(log, "wb") as errors,
    subprocess.Popen(
      [sys.executable, "-m", __name__, *argv],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=errors,
      text=True,
    ) as process,
  ):
    assert process.stdin is not None and process.stdout is not None
    is_ready = process.stdout.readline().strip() == _READY
    start_seconds = time.perf_counter() - started
    base = resident_bytes(process.pid) if is_ready else None
    samples = []
    if base is not None:
      process.stdin.write("\n")
      process.stdin.flush()
      samples = _watch(process)
    output = process.stdout.read()
  if process.returncode or base is None:
    tail = log.read_text(errors="replace").strip().splitlines()[-15:]
    raise ConversionError(
      f"ramjax convert {argv[0]} ended with status {process.returncode}; the"
      " end of its log:\n  " + "\n  ".join(tail or ["(empty)"])
    )
  return Conversion(
    seconds=json.loads(output.splitlines()[-1])["seconds"],
    start_seconds=start_seconds,
    base_bytes=base,
    growth_bytes=max([base, *samples]) - base,
    num_samples=len(samples),
  )


def _watch(process: subprocess.Popen) -> list[int]:
  """Memory of a process every 20 ms until it has ended."""
  samples = []
  while process.poll() is None:
    resident = resident_bytes(process.pid)
    if resident is not None:
      samples.append(resident)
    time.sleep(_INTERVAL_S)
  return samples


def main(argv: Sequence[str]) -> int:
  """Child process: imports, says so, waits for a line, and converts."""
  command, *rest = argv
  name = f"convert_{command.replace('-', '_')}"
  module = importlib.import_module(f"ramjax.tools.{name}")
  print(_READY, flush=True)
  sys.stdin.readline()
  started = time.perf_counter()
  status = module.main(rest)
  print(json.dumps({"seconds": time.perf_counter() - started}))
  return status


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
