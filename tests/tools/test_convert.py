# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert`: what is listed runs; errors are one line and status 1."""

import importlib

import pytest

from ramjax.tools import cli, convert


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_and_examples(argv, capsys):
  assert convert.main(argv) == 0
  out = capsys.readouterr().out
  assert "usage: ramjax convert COMMAND" in out
  for name, (_, summary) in convert._COMMANDS.items():
    assert f"  {name} " in out and summary in out
    assert f"  ramjax convert {name} " in out


def test_no_command_prints_the_help_and_is_an_error(capsys):
  assert convert.main([]) == 2
  assert "usage: ramjax convert" in capsys.readouterr().out


def test_unknown_command_is_refused_with_the_known_ones(capsys):
  assert cli.main(["convert", "from-tf", "a", "b"]) == 2
  captured = capsys.readouterr()
  assert captured.out == ""
  assert "'from-tf' is not a command" in captured.err
  assert all(name in captured.err for name in convert._COMMANDS)


@pytest.mark.parametrize("name", convert._COMMANDS)
def test_every_command_explains_itself_with_an_example(name, capsys):
  with pytest.raises(SystemExit) as end:
    convert.main([name, "--help"])
  assert end.value.code == 0
  out = capsys.readouterr().out
  assert f"usage: ramjax convert {name}" in out
  assert f"example:\n  ramjax convert {name}" in out.replace(
    "examples", "example"
  )


@pytest.mark.parametrize(
  "error", [ValueError("no such thing"), OSError(28, "no such thing")]
)
def test_error_is_one_line_and_status_1(error, monkeypatch, capsys):
  def main(argv):
    raise error

  module = importlib.import_module("ramjax.tools.convert_from_hf")
  monkeypatch.setattr(module, "main", main)
  assert convert.main(["from-hf"]) == 1
  captured = capsys.readouterr()
  assert captured.out == ""
  assert captured.err.startswith("ramjax convert from-hf: ")
  assert captured.err.endswith("no such thing\n")
  assert captured.err.count("\n") == 1


def test_fault_of_our_own_keeps_its_traceback(monkeypatch):
  def main(argv):
    raise KeyError("ours")

  module = importlib.import_module("ramjax.tools.convert_from_hf")
  monkeypatch.setattr(module, "main", main)
  with pytest.raises(KeyError):
    convert.main(["from-hf"])
