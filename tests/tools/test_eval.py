# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval`: every benchmark is found, explains itself, and says what fails."""

import importlib

import pytest

from ramjax.tools import eval as eval_tool


def test_help_lists_every_benchmark(capsys):
  assert eval_tool.main(["--help"]) == 0
  shown = capsys.readouterr().out
  for name, (_, summary) in eval_tool._BENCHMARKS.items():
    assert name in shown
    assert summary in shown


def test_no_benchmark_is_an_error_that_shows_the_help(capsys):
  assert eval_tool.main([]) == 2
  assert "benchmarks:" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused_with_those_there_are(capsys):
  assert eval_tool.main(["alpaca"]) == 2
  shown = capsys.readouterr().err
  assert "'alpaca' is not a benchmark" in shown
  assert "alpaca_eval" in shown


@pytest.mark.parametrize("name", eval_tool._BENCHMARKS)
def test_every_benchmark_has_help_with_an_example(name, capsys):
  with pytest.raises(SystemExit) as stopped:
    eval_tool.main([name, "--help"])
  assert stopped.value.code == 0
  shown = capsys.readouterr().out
  assert f"usage: ramjax eval {name}" in shown
  assert f"ramjax eval {name} --" in shown.replace("\\\n", "")
  assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError])
def test_what_a_benchmark_raises_is_one_line(error, monkeypatch, capsys):
  module = importlib.import_module("ramjax.tools.eval_gsm8k")

  def fail(argv):
    raise error("rows.jsonl: the problem, and what to do")

  monkeypatch.setattr(module, "main", fail)
  assert eval_tool.main(["gsm8k"]) == 1
  shown = capsys.readouterr().err
  assert shown == (
    "ramjax eval gsm8k: rows.jsonl: the problem, and what to do\n"
  )


def test_a_file_that_is_not_there_is_named_with_its_option(monkeypatch, capsys):
  module = importlib.import_module("ramjax.tools.eval_gsm8k")

  def fail(argv):
    open("nowhere/no.txt")

  monkeypatch.setattr(module, "main", fail)
  monkeypatch.setattr(module, "parse", fail)
  argv = ["gsm8k", "--shots=nowhere/no.txt", "--data=x"]
  assert eval_tool.main(argv) == 1
  assert capsys.readouterr().err == (
    "ramjax eval gsm8k: --shots=nowhere/no.txt does not exist.\n"
  )
  with pytest.raises(
    ValueError, match=r"--shots=nowhere/no\.txt does not exist"
  ):
    eval_tool.check(argv)
