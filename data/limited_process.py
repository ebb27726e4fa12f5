# SPDX-License-Identifier: Apache-2.0
"""A child process that may use only so much: for work on a stranger's file.

The limits are set by the child itself, before it runs anything else: setting
them between fork and exec is not safe in a process that has threads, as one
that has imported JAX does.
"""

import os
import pathlib
import subprocess
import sys

# Run by the child: limits first, then the script. It may write no file, leave
# no core dump, and open few files at a time.
_LAUNCHER = """
import resource, runpy, sys
script, memory, cpu = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for name, limit in (
  ("RLIMIT_AS", memory), ("RLIMIT_CPU", cpu), ("RLIMIT_CORE", 0),
  ("RLIMIT_FSIZE", 0), ("RLIMIT_NOFILE", 64),
):
  kind = getattr(resource, name)
  hard = resource.getrlimit(kind)[1]
  if hard != resource.RLIM_INFINITY:
    limit = min(limit, hard)
  resource.setrlimit(kind, (limit, hard if name == "RLIMIT_CPU" else limit))
sys.argv = [script, *sys.argv[4:]]
runpy.run_path(script, run_name="__main__")
"""

# A child sees no other variables: the rest may hold keys and passwords.
_ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH", "TZ")


def start(
  script: pathlib.Path,
  *arguments: str,
  memory_bytes: int,
  cpu_seconds: int,
) -> subprocess.Popen[bytes]:
  """Starts a Python script in a process with limits.

  It runs isolated from the user's Python settings and the working directory,
  with pipes for its standard input and output and no standard error. Past its
  processor time the system kills it; past its memory, allocations fail.

  Args:
    script: The file to run.
    *arguments: Its command-line arguments.
    memory_bytes: The limit of its address space.
    cpu_seconds: The limit of its processor time; the script may raise it.

  Returns:
    The running process. The caller stops it and closes its pipes.
  """
  return subprocess.Popen(
    [
      sys.executable,
      *("-I", "-B", "-c", _LAUNCHER),
      *(str(script), str(memory_bytes), str(cpu_seconds), *arguments),
    ],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
  )


def stop(process: subprocess.Popen[bytes]) -> int:
  """Kills a process of `start`, closes its pipes, and gives its exit status."""
  process.kill()
  for pipe in (process.stdin, process.stdout):
    assert pipe is not None
    try:
      pipe.close()
    except BrokenPipeError:
      # Text that was still to be sent to a process that is gone.
      continue
  return process.wait()
