# SPDX-License-Identifier: Apache-2.0
"""Launch a run: parse the command line, load the config, call the algorithm.

`ramjax train` and `python -m ramjax.trainers.launch` are this module.
"""

import importlib
import importlib.resources
import pathlib
import re
import sys
from collections.abc import Sequence

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


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line `argv` (without the program's name).

  Returns:
    The exit status.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  wants_help = any(flag in argv for flag in ("-h", "--help", "--helpfull"))
  if wants_help and not any(a.startswith("--config") for a in argv):
    print(_HELP, end="")
    return 0
  argv = [a for a in argv if a not in ("-h", "--help", "--helpfull")]
  try:
    config, workdir = _parse(argv)
  except _UsageError as error:
    print(f"ramjax train: {error}", file=sys.stderr)
    return 1
  if wants_help:
    print(_HELP)
    print(f"fields and their values:\n\n{config}")
    return 0
  if not workdir:
    print(
      "ramjax train: --workdir is missing: name a folder for checkpoints and"
      f" logs, as in\n  {_EXAMPLE}",
      file=sys.stderr,
    )
    return 1
  return _run(config, pathlib.Path(workdir))


class _UsageError(ValueError):
  """The command line or the config cannot be understood."""


def _parse(argv: Sequence[str]):
  """The locked config, overrides applied, and the workdir."""
  # Imported here so that `--help` is quick.
  from absl import flags
  from ml_collections import config_flags

  argv = ["ramjax train", *(_resolve_config_path(a) for a in argv)]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    "config", lock_config=True, flag_values=values, sys_argv=argv
  )
  flags.DEFINE_string("workdir", "", "Where everything goes.", values)
  try:
    rest = values(argv)
    config = values["config"].value
    if config is None:
      raise _UsageError(
        f"--config is missing: name a config file, as in\n  {_EXAMPLE}"
      )
    # Reading a field raises what went wrong while the file was loaded.
    config.to_dict()
  except _UsageError:
    raise
  except KeyError as error:
    raise _UsageError(
      f"no field {error} where an override wants one: --config=FILE --help"
      " lists the fields."
    ) from error
  except Exception as error:
    # A config file is a program: any error can come out of it, and
    # ml_collections has put the file's own traceback into the message.
    raise _UsageError(str(error)) from error
  if rest[1:]:
    raise _UsageError(
      f"unexpected argument {rest[1]!r}: flags look like --config.a.b=VALUE."
    )
  return config, values["workdir"].value


def _resolve_config_path(argument: str) -> str:
  """`--config=NAME` to the file of that name among the shipped configs."""
  flag, equals, value = argument.partition("=")
  if flag != "--config" or not equals or pathlib.Path(value).is_file():
    return argument
  shipped = importlib.resources.files("ramjax.configs")
  name = value.removesuffix(".py").removeprefix("configs/")
  path = shipped.joinpath(f"{name}.py")
  if name.isidentifier() and path.is_file():
    return f"--config={path}"
  names = sorted(
    entry.name.removesuffix(".py")
    for entry in shipped.iterdir()
    if entry.name.endswith(".py")
    and entry.name not in ("__init__.py", "base.py")
  )
  raise _UsageError(
    f"config file {value!r} does not exist here. Those that ship with ramjax:"
    f" {', '.join(names)}."
  )


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


def _run(config, workdir: pathlib.Path) -> int:
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
    outcome = algorithm.main(config, workdir)
  except (
    ValueError,
    OSError,
    ModuleNotFoundError,
    loop.NonFiniteError,
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
