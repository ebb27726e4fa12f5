# SPDX-License-Identifier: Apache-2.0
"""`ramjax COMMAND`: what is listed exists, and what is not is refused."""

import importlib
import importlib.metadata
import inspect
import pathlib
import signal
import sys
import tomllib
import types

import pytest

from ramjax.tools import cli

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_with_its_line(argv, capsys):
  assert cli.main(argv) == 0
  out = capsys.readouterr().out
  for name, (_, summary) in cli._COMMANDS.items():
    assert f"  {name} " in out and summary in out


def test_no_command_prints_the_help_and_is_an_error(capsys):
  assert cli.main([]) == 2
  assert "usage: ramjax COMMAND" in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_the_known_ones(capsys):
  assert cli.main(["trian"]) == 2
  captured = capsys.readouterr()
  assert captured.out == ""
  assert "'trian' is not a command" in captured.err
  assert all(name in captured.err for name in cli._COMMANDS)


def test_version_is_that_of_the_installed_package(capsys):
  assert cli.main(["--version"]) == 0
  version = importlib.metadata.version("ramjax")
  assert capsys.readouterr().out == f"ramjax {version}\n"


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_the_module_of_every_command_has_a_main_that_takes_argv(name):
  module = importlib.import_module(cli._COMMANDS[name][0])
  (parameter, *_) = inspect.signature(module.main).parameters.values()
  assert parameter.name == "argv"


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_command_explains_itself(name, capsys):
  try:
    status = cli.main([name, "--help"])
  except SystemExit as end:  # argparse ends the process itself.
    status = end.code
  assert status == 0
  assert "usage:" in capsys.readouterr().out


def test_arguments_and_exit_status_are_handed_over(monkeypatch):
  seen = []

  def main(argv):
    seen.append(argv)
    return 75

  monkeypatch.setattr(
    importlib, "import_module", lambda name: types.SimpleNamespace(main=main)
  )
  assert cli.main(["train", "--workdir=x", "--help"]) == 75
  assert seen == [["--workdir=x", "--help"]]


def test_the_installed_command_is_this_module():
  with (_ROOT / "pyproject.toml").open("rb") as file:
    scripts = tomllib.load(file)["project"]["scripts"]
  assert scripts == {"ramjax": "ramjax.tools.cli:main"}


@pytest.mark.parametrize(
  "argv,ends",
  [
    ([], True),
    (["report"], True),
    (["train"], False),
    (["generate"], False),
    (["serve"], False),
    (["train", "--help"], True),
  ],
)
def test_what_runs_long_outlives_a_closed_pipe(monkeypatch, argv, ends):
  seen = []
  monkeypatch.setattr(signal, "signal", lambda *given: seen.append(given))
  monkeypatch.setattr(sys, "argv", ["ramjax", *argv])
  monkeypatch.setattr(
    importlib,
    "import_module",
    lambda name: types.SimpleNamespace(main=lambda argv: 0),
  )
  cli.main()
  assert seen == [(signal.SIGPIPE, signal.SIG_DFL)] * ends
