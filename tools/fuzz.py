# SPDX-License-Identifier: Apache-2.0
"""Feeds damaged and forged files to the readers of strangers' files.

    python -m ramjax.tools.fuzz --headers=2000 --indexes=2000 --tokenizers=500

Allowed is that a file loads, with the tensors that the safetensors library
finds in it, or that it is refused with a ValueError or FileNotFoundError. Any
other error, a crash, more than 2 s or 1 GiB for one file, a write, or that a
forgery loads which must not, is a failure. Needs Linux.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.tools import fuzz_headers, fuzz_indexes, fuzz_tokenizers

LIMIT_S = 2.0
# To import the libraries on a busy machine.
_START_S = 120.0
_WORKER = (sys.executable, "-B", "-m", "ramjax.tools.fuzz_worker")
# Threads reserve address space, which is what the worker's limit counts.
_ENVIRONMENT = {
  "TOKENIZERS_PARALLELISM": "false",
  "OPENBLAS_NUM_THREADS": "1",
  "MALLOC_ARENA_MAX": "1",
}


class Failure(NamedTuple):
  """An input that was not handled as it must be.

  Attributes:
    kind: What it is an input of: "headers" and so on.
    mutation: How it was made.
    reason: What went wrong.
    folder: Where it is kept.
  """

  kind: str
  mutation: str
  reason: str
  folder: pathlib.Path


class Worker:
  """A process that reads inputs, started anew after it died."""

  def __init__(self, command: Sequence[str], limit_s: float):
    self._command = command
    self._limit_s = limit_s
    self._process: subprocess.Popen[bytes] | None = None

  def read(self, kind: str, folder: pathlib.Path) -> dict[str, Any]:
    """The worker's reply, or {"error": "Hang" or "Crash"} where none came.

    A machine may stall for as long as the limit: what took too long is tried
    once more, in a fresh process.
    """
    reply = self._ask(kind, folder)
    return self._ask(kind, folder) if reply["error"] == "Hang" else reply

  def _ask(self, kind: str, folder: pathlib.Path) -> dict[str, Any]:
    process = self._process
    if process is None:
      process = self._process = subprocess.Popen(
        self._command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | _ENVIRONMENT,
      )
      if "ready" not in self._reply(process, _START_S):
        raise RuntimeError(f"the worker {self._command} does not start.")
    assert process.stdin is not None
    request = json.dumps({"kind": kind, "folder": str(folder)})
    process.stdin.write(request.encode() + b"\n")
    process.stdin.flush()
    return self._reply(process, self._limit_s)

  def _reply(
    self, process: subprocess.Popen[bytes], limit_s: float
  ) -> dict[str, Any]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], limit_s)
    line = process.stdout.readline() if ready else b""
    if line:
      return json.loads(line)
    self.stop()
    error = "Crash" if ready else "Hang"
    message = f"exit status {process.returncode}" if ready else f"{limit_s} s"
    return {"error": error, "message": message, "typed": False, "ms": 0.0}

  def stop(self) -> None:
    """Kills the process, if there is one."""
    if self._process is None:
      return
    self._process.kill()
    self._process.communicate()
    self._process = None


def main(
  argv: Sequence[str] | None = None,
  *,
  worker: Sequence[str] = _WORKER,
  limit_s: float = LIMIT_S,
) -> int:
  """Feeds inputs to the readers and prints what became of them.

  Args:
    argv: The arguments; by default those of the process.
    worker: The command that starts the worker.
    limit_s: The most that one input may take.

  Returns:
    The exit status: 1 if any input was not handled as it must be.
  """
  parser = argparse.ArgumentParser(
    prog="python -m ramjax.tools.fuzz", allow_abbrev=False
  )
  for kind, num in (("headers", 2000), ("indexes", 2000), ("tokenizers", 500)):
    parser.add_argument(
      f"--{kind}",
      type=int,
      default=num,
      metavar="NUM",
      help=f"damaged {kind} to read (default: {num})",
    )
  parser.add_argument(
    "--seed", type=int, default=0, help="of the damage (default: 0)"
  )
  args = parser.parse_args(argv)
  if min(args.headers, args.indexes, args.tokenizers) < 0:
    parser.error("a number of inputs must be 0 or more")
  root = pathlib.Path(tempfile.mkdtemp(prefix="ramjax-fuzz-"))
  process = Worker(worker, limit_s)
  makers: Mapping[str, Callable[[], Any]] = {
    "headers": lambda: fuzz_headers.make_case,
    "indexes": lambda: fuzz_indexes.make_case,
    "tokenizers": lambda: fuzz_tokenizers.Maker(root / "tokenizers").make_case,
  }
  failures: list[Failure] = []
  try:
    for kind, maker in makers.items():
      num = getattr(args, kind)
      if num:
        failures += _run(kind, maker(), num, args.seed, root, process)
  finally:
    process.stop()
  for failure in failures:
    print(f"FAILED {failure.kind}: {failure.mutation}: {failure.reason}")
    print(f"  {failure.folder}")
  if failures:
    print(f"{len(failures)} failures; their inputs are kept in {root}")
    return 1
  shutil.rmtree(root)
  return 0


def _run(
  kind: str,
  make_case: Callable[[random.Random, pathlib.Path], Any],
  num_inputs: int,
  seed: int,
  root: pathlib.Path,
  worker: Worker,
) -> Iterator[Failure]:
  """Feeds all inputs of a kind, prints the counts, and yields the failures."""
  errors: collections.Counter[str] = collections.Counter()
  slowest = (0.0, "none")
  num_loaded = num_failures = 0
  for number in range(num_inputs):
    folder = root / f"{kind}-{seed}-{number}"
    folder.mkdir()
    case = make_case(random.Random(f"{seed} {kind} {number}"), folder)
    reply = worker.read(kind, case.folder)
    slowest = max(slowest, (reply["ms"], case.mutation))
    reason = None
    if reply["error"] is None:
      num_loaded += 1
      reason = "loaded, but must be refused" if case.must_refuse else None
    elif reply["typed"]:
      errors[reply["error"]] += 1
      # A mutation that should load and never does tests nothing.
      reason = f"refused: {reply['message']}" if case.must_load else None
    else:
      reason = f"{reply['error']}: {reply['message']}"
    if reason is None:
      shutil.rmtree(folder)
    else:
      num_failures += 1
      yield Failure(kind, case.mutation, reason, folder)
  refused = ", ".join(f"{n} {name}" for name, n in errors.most_common())
  print(
    f"{kind}: {num_inputs} inputs, {num_loaded} loaded equal,"
    f" {errors.total()} typed errors ({refused or 'none'}), {num_failures}"
    f" failures; slowest {slowest[0]:.0f} ms ({slowest[1]})"
  )


if __name__ == "__main__":
  sys.exit(main())
