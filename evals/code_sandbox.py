# SPDX-License-Identifier: Apache-2.0
"""Runs a stranger's Python program and its tests in a process with limits.

On Linux the process is isolated too, in namespaces of its own: it has no
network, not even this machine's; it can signal no process but its own; it can
write to nothing but an empty folder in memory that goes with it. It has no right
of an administrator, and belongs to a new session, which is killed at the end.
Elsewhere, and where the system allows no namespaces, as many containers do not,
it refuses to run unless it is told to go without them.

What an adversary can still do: a program runs in one process with its tests, so
one written for the purpose can pass them without solving them. It may return
objects that are equal to everything, put its own functions in place of Python's,
start a thread that reads the tests and their tokens from the frames or the
descriptors of the process, and write the tokens itself. What does not work is
what a program does without looking for the checker: to print, to exit, to crash
or to write to every descriptor. It can read what the user can read, though it
can tell nobody; open devices that the user may open, and sockets that are files
outside /run; use as much memory as its limits allow for each of its processes at
once; and it meets the kernel, as any program does.
"""

import dataclasses
import json
import os
import pathlib
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

_WORKER = pathlib.Path(__file__).with_name("code_sandbox_worker.py")
_START_SECONDS = 60.0
# The worker's own last resort, should this process end before it.
_GRACE_SECONDS = 60
_TOKEN_BYTES = 16


class SandboxError(RuntimeError):
  """This system cannot run a program as safely as was asked."""


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a program and its tests may use together.

  Attributes:
    wall_seconds: Of time, from its start.
    cpu_seconds: Of processor time, for each process.
    memory_bytes: Of address space, for each process.
    file_bytes: The size of a file.
    work_bytes: The size of all files, where the program is isolated.
    num_processes: Processes and threads. 1 without isolation: one that leaves
      its session could not be killed.
    num_files: Open files of a process.
  """

  wall_seconds: float = 10.0
  cpu_seconds: int = 10
  memory_bytes: int = 512 * 2**20
  file_bytes: int = 2**20
  work_bytes: int = 16 * 2**20
  num_processes: int = 16
  num_files: int = 64


def run_tests(
  program: str, tests: Sequence[str], *, limits: Limits, isolated: bool
) -> list[bool]:
  """Runs a program, and then each of its tests in the same module.

  Args:
    program: Python's source. If it does not run to its end, no test passes.
    tests: Python's source each; one passes if it runs to its end. One that
      does not end within the limits fails, and those after it.
    limits: On the program and all tests.
    isolated: Whether it must run without network, and without writing to this
      machine's files. If not, nothing but the limits keeps it from either.

  Returns:
    Whether each test passed.

  Raises:
    SandboxError: The system cannot isolate it, or not start it.
  """
  tokens = [secrets.token_hex(_TOKEN_BYTES) for _ in tests]
  request = _message(program) + _message(list(zip(tests, tokens, strict=True)))
  most = len("ready\n") + sum(len(token) + 1 for token in tokens)
  with tempfile.TemporaryDirectory(prefix="ramjax-") as work:
    process = _start(work, limits, isolated)
    try:
      output = _converse(process, request, limits.wall_seconds, most)
    finally:
      _stop(process)
  _check_started(output, isolated)
  written = output.decode("ascii", "replace").split("\n")[1:-1]
  if len(output) > most or not set(written) <= set(tokens):
    # The program found where results are written, but not what.
    return [False] * len(tests)
  return [token in written for token in tokens]


def _message(value: object) -> bytes:
  """A JSON value with its length before it, as the worker reads it."""
  content = json.dumps(value).encode()
  return len(content).to_bytes(8, "big") + content


def _start(work: str, limits: Limits, isolated: bool) -> subprocess.Popen:
  given = dataclasses.asdict(limits) | {
    "isolated": isolated,
    "num_processes": limits.num_processes if isolated else 1,
    "lifetime_seconds": int(limits.wall_seconds) + _GRACE_SECONDS,
  }
  environment = {"HOME": work, "PATH": os.defpath, "LANG": "C.UTF-8"}
  if "LD_LIBRARY_PATH" in os.environ:  # Where Python's own library may be.
    environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
  return subprocess.Popen(
    [sys.executable, *("-I", "-S", "-B"), str(_WORKER), json.dumps(given)],
    bufsize=0,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    cwd=work,
    env=environment,
    start_new_session=True,
  )


def _converse(
  process: subprocess.Popen, request: bytes, seconds: float, most: int
) -> bytes:
  """Sends a request; returns all that is written until it is to stop.

  That is some seconds after the first line, when the output ends, or when it is
  longer than `most` bytes.
  """
  assert process.stdin is not None and process.stdout is not None
  os.set_blocking(process.stdin.fileno(), False)
  deadline = time.monotonic() + _START_SECONDS
  received = b""
  started = False
  with selectors.DefaultSelector() as selector:
    selector.register(process.stdout, selectors.EVENT_READ)
    selector.register(process.stdin, selectors.EVENT_WRITE)
    while len(received) <= most:
      left = deadline - time.monotonic()
      ready = selector.select(left) if left > 0 else []
      if not ready:
        break
      for key, _ in ready:
        if key.fileobj is process.stdin:
          request = _send(key.fd, request)
          if not request:
            selector.unregister(process.stdin)
          continue
        chunk = os.read(key.fd, 2**12)
        if not chunk:
          return received
        received += chunk
        if not started and b"\n" in received:
          deadline = time.monotonic() + seconds
          started = True
  return received


def _send(fd: int, request: bytes) -> bytes:
  """Sends what fits in a pipe; returns the rest, none if nobody reads it."""
  try:
    return request[os.write(fd, request) :]
  except BrokenPipeError:
    return b""


def _check_started(output: bytes, isolated: bool) -> None:
  """Refuses to go on unless the first line says that the worker is ready."""
  line, _, _ = output.partition(b"\n")
  if line == b"ready":
    return
  reason = line.decode("utf-8", "replace") or "it said nothing"
  advice = (
    " Isolation needs Linux 5.12 or later that lets this user make namespaces:"
    " in a container, allow user namespaces or give it CAP_SYS_ADMIN. Or run"
    " where nothing is to be lost, and let programs use the network and your"
    " files (allow_network=True)."
  )
  raise SandboxError(
    f"this system cannot run a stranger's program with these limits ({reason})."
    + (advice if isolated else "")
  )


def _stop(process: subprocess.Popen) -> None:
  """Kills the process's whole group and closes its pipes."""
  try:
    # Before it is waited for: until then no other group has its number.
    os.killpg(process.pid, signal.SIGKILL)
  except PermissionError:
    # What macOS says of a group whose processes have all ended.
    process.kill()
  for pipe in (process.stdin, process.stdout):
    assert pipe is not None
    pipe.close()
  process.wait()
