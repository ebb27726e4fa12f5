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
from collections.abc import Callable, Sequence
from typing import Any

from ramjax.trainers import command_line

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

example: {_EXAMPLE}

Exit status: 0 finished; 1 an error; 75 stopped by SIGTERM with a checkpoint
saved, run the same command again to continue.
"""

# sysexits.h EX_TEMPFAIL: a supervisor should start the same command again.
EXIT_PREEMPTED = 75


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
  return _run(config, pathlib.Path(flags.workdir), make_runner())


def _define_flags(values: Any) -> None:
  from absl import flags

  flags.DEFINE_string("workdir", "", "Where everything goes.", values)


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


def _run(config, workdir: pathlib.Path, runner: Any) -> int:
  """Trains; user mistakes end in a message, not in a traceback."""
  if config.algorithm not in algorithms():
    print(
      f"ramjax train: algorithm={config.algorithm!r} is not one of"
      f" {', '.join(algorithms())}.",
      file=sys.stderr,
    )
    return 1
  import jax

  from ramjax.trainers import loop

  if config.run.compilation_cache:
    cache = pathlib.Path(config.run.compilation_cache).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(cache))
    # Tiny models compile in seconds and are launched most often.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
  algorithm = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
  try:
    outcome = algorithm.main(config, workdir, runner)
  except (
    ValueError,
    OSError,
    ModuleNotFoundError,
    loop.NonFiniteError,
    loop.FirstStepError,
  ) as error:
    if config.run.tracebacks:
      raise
    print(
      f"ramjax train: {error}\n(--config.run.tracebacks=True shows where)",
      file=sys.stderr,
    )
    return 1
  if outcome is loop.Outcome.PREEMPTED:
    return EXIT_PREEMPTED
  print(f"finished; everything is in {workdir}", flush=True)
  return 0


if __name__ == "__main__":
  sys.exit(main())
