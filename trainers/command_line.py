# SPDX-License-Identifier: Apache-2.0
"""The command line of a config: `--config=FILE --config.a.b=VALUE`, and flags.

What every command that starts from a run's config has in common.
"""

import importlib.resources
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections


class UsageError(ValueError):
  """The command line or the config cannot be understood."""


def parse(
  argv: Sequence[str],
  *,
  program: str,
  example: str,
  define: Callable[[Any], None],
) -> tuple[ml_collections.ConfigDict, Any]:
  """Reads a command line.

  Args:
    argv: Without the program's name.
    program: That name, such as "ramjax train".
    example: A whole command line, for whoever gave no config.
    define: Defines the command's own flags on the `absl.flags.FlagValues`.

  Returns:
    The locked config, overrides applied, and the values of the flags.

  Raises:
    UsageError: No config, one that cannot be loaded, a field or flag that does
      not exist, or a value that does not suit it.
  """
  # Imported here so that `--help` is quick.
  from absl import flags
  from ml_collections import config_flags

  argv = [program, *(_resolve_config_path(a) for a in argv)]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    "config", lock_config=True, flag_values=values, sys_argv=argv
  )
  define(values)
  try:
    rest = values(argv)
    config = values["config"].value
    if config is None:
      raise UsageError(
        f"--config is missing: name a config file, as in\n  {example}"
      )
    # Reading a field raises what went wrong while the file was loaded.
    config.to_dict()
  except UsageError:
    raise
  except KeyError as error:
    raise UsageError(
      f"no field {error} where an override wants one: --config=FILE --help"
      " lists the fields."
    ) from error
  except Exception as error:
    # A config file is a program: any error can come out of it, and
    # ml_collections has put the file's own traceback into the message.
    message = str(error)
    # ml_collections names an unknown field of an override, quoted, and no more.
    if re.match(r"""["']{1,3}\w+["'\\]""", message):
      message = (
        f"no field {message}: an override sets a field that the config has."
        " --config=FILE --help lists them."
      )
    raise UsageError(message) from error
  if rest[1:]:
    raise UsageError(
      f"unexpected argument {rest[1]!r}: flags look like --config.a.b=VALUE."
    )
  return config, values


def split_help(argv: Sequence[str]) -> tuple[list[str], bool]:
  """The arguments without flags that ask for help, and whether one did."""
  rest = [a for a in argv if a not in ("-h", "--help", "--helpfull")]
  return rest, len(rest) < len(argv)


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
    and "\ndef get_config(" in entry.read_text("utf-8")
  )
  raise UsageError(
    f"config file {value!r} does not exist here. Those that ship with ramjax:"
    f" {', '.join(names)}."
  )
