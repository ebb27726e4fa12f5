# SPDX-License-Identifier: Apache-2.0
"""Launch a run: parse the command line, load the config, call the algorithm.

`ramjax train` is this module and what runs benchmarks meanwhile; `python -m
ramjax.trainers.launch` is this module alone.
"""

import importlib
import importlib.resources
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ramjax.trainers import (
  cluster,
  command_line,
  distributed,
  exit_status,
  workdir_lock,
)
from ramjax.trainers.run_error import PassingError, RunError

_EXAMPLE = "ramjax train --config=configs/sft_quickstart.py --workdir=runs/q"

_HELP = f"""\
usage: ramjax train --config=FILE [--config.a.b=VALUE ...] --workdir=DIR

Trains the experiment that a config file describes, or continues it where its
last checkpoint left off.

  --config=FILE     a Python file with get_config(), or the name of one that
                    ships with ramjax, such as sft_quickstart. It is a program:
                    run only files you trust.
  --config.a.b=V    replaces one field of it; --config=FILE --help lists them
  --workdir=DIR     where checkpoints, logs and the report go
  --profile=10-12   traces these steps into DIR/profile, for xprof: the field
                    run.profile_steps, in a word

Several processes make one run where SLURM, Open MPI, GKE or a Cloud TPU VM
started them; elsewhere say so:

  --coordinator=HOST:PORT  --num-processes=N  --process-id=I
                    where process 0 listens, how many there are, which this is
  --startup-timeout=SECONDS    for the others to come (300)
  --heartbeat-timeout=SECONDS  of silence until one counts as lost (100)

example: {_EXAMPLE}

Exit status: 0 finished; 1 an error; 75 stopped by SIGTERM with a checkpoint
saved; 76 hung, and ended by its watchdog; 77 a device or another process was
lost, or the disk did not give a checkpoint back. After 75, 76 and 77 the same
command continues the run from its last checkpoint, as `ramjax supervise` does.
"""


def main(
  argv: Sequence[str] | None = None,
  *,
  make_runner: Callable[[], Any] = lambda: None,
) -> int:
  """Runs the command line `argv` (without the program's name).

  Args:
    argv: The words; None takes those of this process.
    make_runner: Makes the `benchmarks.Runner` of a run; None refuses a config
      that has benchmarks.

  Returns:
    The exit status.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  argv, wants_help = command_line.split_help(argv)
  if wants_help and not any(a.startswith("--config") for a in argv):
    print(_HELP, end="")
    return 0
  try:
    config, flags = command_line.parse(
      argv, program="ramjax train", example=_EXAMPLE, define=_define_flags
    )
  except command_line.UsageError as error:
    print(f"ramjax train: {error}", file=sys.stderr)
    return 1
  if wants_help:
    print(_HELP)
    print(f"fields and their values:\n\n{config}")
    return 0
  if not flags.workdir:
    print(
      "ramjax train: --workdir is missing: name a folder for checkpoints and"
      f" logs, as in\n  {_EXAMPLE}",
      file=sys.stderr,
    )
    return 1
  workdir = pathlib.Path(flags.workdir)
  if flags.profile:
    config.run.profile_steps = flags.profile
  try:
    return distributed.run(
      cluster.from_flags(flags),
      lambda who: _run(config, workdir, make_runner(), who),
    )
  except cluster.ClusterError as error:
    print(f"ramjax train: {error}", file=sys.stderr)
    # Another process may be about to start again.
    late = isinstance(error, distributed.NotFoundError)
    return exit_status.LOST if late else exit_status.FAILED


def _define_flags(values: Any) -> None:
  from absl import flags

  flags.DEFINE_string("workdir", "", "Where everything goes.", values)
  flags.DEFINE_string("profile", "", "Steps to trace.", values)
  cluster.define_flags(values)


def algorithms() -> list[str]:
  """Every algorithm there is: the modules of `trainers` with a `main(config`."""
  folder = importlib.resources.files("ramjax.trainers")
  return sorted(
    entry.name.removesuffix(".py")
    for entry in folder.iterdir()
    if entry.name.endswith(".py")
    and re.search(
      r"^def main\(\s*config: ", entry.read_text("utf-8"), re.MULTILINE
    )
  )


def _run(config, workdir: pathlib.Path, runner: Any, who: str) -> int:
  """Trains; user mistakes end in a message, not in a traceback."""
  if config.algorithm not in algorithms():
    print(
      f"ramjax train: {who}algorithm={config.algorithm!r} is not one of"
      f" {', '.join(algorithms())}.",
      file=sys.stderr,
    )
    return 1
  import jax

  from ramjax.trainers import compilation, loop, lost, processes

  compilation.configure(config.run.compilation_cache)
  algorithm = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
  try:
    with workdir_lock.held(workdir, is_first=processes.is_first()):
      outcome = algorithm.main(config, workdir, runner)
  except PassingError as error:
    if config.run.tracebacks:
      traceback.print_exc()
    print(f"ramjax train: {who}{error}", file=sys.stderr)
    return exit_status.LOST
  except (
    ValueError,
    OSError,
    ModuleNotFoundError,
    RunError,
    jax.errors.JaxRuntimeError,
  ) as error:
    if lost.is_lost(error):
      traceback.print_exc()
      print(
        f"ramjax train: {who}a device or another process of the run was lost:"
        " see above. The same command goes on from the last checkpoint.",
        file=sys.stderr,
      )
      return exit_status.LOST
    if config.run.tracebacks or isinstance(error, jax.errors.JaxRuntimeError):
      raise
    print(
      f"ramjax train: {who}{error}\n(--config.run.tracebacks=True shows where)",
      file=sys.stderr,
    )
    return 1
  if outcome is loop.Outcome.PREEMPTED:
    return exit_status.PREEMPTED
  print(f"finished; everything is in {workdir}", flush=True)
  return 0


if __name__ == "__main__":
  sys.exit(main())
