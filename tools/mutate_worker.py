# SPDX-License-Identifier: Apache-2.0
"""Runs a test suite again and again, each time on another mutated module.

Importing jax and pytest costs seconds, and a mutant must not see the modules
of the one before. So one process imports both, and forks once per mutant. A
fork is safe while nothing has been computed: JAX starts its threads with the
first computation, and that happens in the child only.

Started by `ramjax.tools.mutate`; one request line in, one reply line out:

    python -m ramjax.tools.mutate_worker COPY_DIR LOG
"""

import json
import os
import pathlib
import resource
import sys
from typing import NoReturn

# Reply to a run that passed without importing the module under test.
NOT_IMPORTED = 100


def main(argv: list[str]) -> int:
  """Serves until standard input closes.

  A request is {"module": name, "tests": [[path]], "cpu_s": seconds}: lists
  of tests, one after another until one fails. The reply is {"status": pytest's
  exit status, `NOT_IMPORTED`, or -signal}.
  """
  copy, log = pathlib.Path(argv[0]), pathlib.Path(argv[1])
  # A mutant often has the size and the second of the one before: cached
  # bytecode would be taken for its own.
  sys.dont_write_bytecode = True
  sys.path.insert(0, str(copy))
  # Only to have them loaded: every fork has them for free.
  import jax.numpy  # noqa: F401
  import pytest  # noqa: F401

  for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
      # A change may loop for ever. CPU time, not wall time: a busy machine must
      # not make a change look noticed.
      limit = int(request["cpu_s"])
      resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
      _run_tests(copy, log, request["module"], request["tests"])
    _, wait_status = os.waitpid(child, 0)
    status = os.waitstatus_to_exitcode(wait_status)
    print(json.dumps({"status": status}), flush=True)
  return 0


def _run_tests(
  copy: pathlib.Path, log: pathlib.Path, module: str, tests: list[list[str]]
) -> NoReturn:
  """In the child: pytest, its output to `log`, its status as ours."""
  import pytest

  with log.open("w") as out:
    os.dup2(out.fileno(), 1)
    os.dup2(out.fileno(), 2)
  options = [
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-m",
    "not slow and not peers",
  ]
  status = 0
  for paths in tests:
    status = status or int(pytest.main([*options, *paths]))
  if status == 0:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None) or ""
    if copy.resolve() not in pathlib.Path(file).resolve().parents:
      status = NOT_IMPORTED
  sys.stdout.flush()
  # Not sys.exit: that would run the parent's exit handlers a second time.
  os._exit(status)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
