# SPDX-License-Identifier: Apache-2.0
"""What every benchmark does around its measuring, in which order."""

import argparse
import json

import pytest

from ramjax.tools import bench, bench_ledger, bench_output
from ramjax.tools.bench_cases import CaseError
from ramjax.tools.bench_ledger import Figure
from ramjax.tools.bench_output import Measured

_WORDS = ("bench", "some")


def _measured(**report):
  return Measured(
    report={
      "target": "some",
      "date": "2026-08-01T12:00:00+00:00",
      "machine": {"load": 0.0, "usable_cores": 2},
      "device_name": "a CPU",
      "versions": {},
      **report,
    },
    lines=["a line"],
    size="small",
    figures={"one": Figure(2.0, "ms")},
  )


def _run(argv, measure):
  parser = argparse.ArgumentParser()
  bench_output.add_options(parser, also="nothing")
  args = parser.parse_args(argv)
  return bench_output.run(_WORDS, argv, args, measure)


def test_lines_are_printed_and_all_is_written(tmp_path, capsys):
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"
  argv = [f"--json={out}", f"--ledger={ledger}"]
  assert _run(argv, lambda args: _measured(answer=42)) == 0
  assert capsys.readouterr().out == "a line\n"
  report = json.loads(out.read_text())
  assert report["answer"] == 42
  assert report["command"] == ["ramjax", *_WORDS, *argv]
  (entry,) = bench_ledger.read(ledger)
  assert set(report["code"]) == {"commit", "modified"}
  assert entry["commit"] == report["code"]["commit"]
  assert entry["target"] == "some" and entry["size"] == "small"
  assert entry["figures"] == {
    "one": {"value": 2.0, "unit": "ms", "floor": None}
  }


def test_json_of_a_dash_is_printed_and_the_lines_beside_it(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  argv = ["--json=-", "--ledger=ledger.jsonl"]
  assert _run(argv, lambda args: _measured(answer=42)) == 0
  printed = capsys.readouterr()
  report = json.loads(printed.out)
  assert report["answer"] == 42
  assert report["command"] == ["ramjax", *_WORDS, *argv]
  assert printed.err == "a line\n"
  # No file of that name; and the ledger as ever.
  assert [path.name for path in tmp_path.iterdir()] == ["ledger.jsonl"]


def test_json_of_a_dash_has_nothing_of_what_cannot_be_measured(capsys):
  def measure(args):
    raise ValueError("no such rows")

  assert _run(["--json=-"], measure) == 1
  assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
  "target",
  ["sft", "sample", "attention", "logps", "checkpoint", "convert", "data"],
)
def test_help_of_every_target_tells_of_the_dash(target, capsys):
  with pytest.raises(SystemExit) as exit_:
    bench.main([target, "--help"])
  assert exit_.value.code == 0
  assert "- prints it" in " ".join(capsys.readouterr().out.split())


def test_what_falls_short_is_written_and_ends_with_1(tmp_path):
  out = tmp_path / "out.json"
  failing = _measured(failures=["too slow"])
  assert _run([f"--json={out}"], lambda args: failing) == 1
  assert json.loads(out.read_text())["failures"] == ["too slow"]
  assert _run([], lambda args: _measured(failures=[])) == 0


def test_without_options_nothing_is_written(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert _run([], lambda args: _measured()) == 0
  assert list(tmp_path.iterdir()) == []


def test_the_ledger_has_a_place_of_its_own(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "bench").mkdir()
  assert _run(["--ledger"], lambda args: _measured()) == 0
  assert len(bench_ledger.read(tmp_path / "bench/ledger.jsonl")) == 1


@pytest.mark.parametrize(
  ("option", "message"),
  [
    ("--json=none/out.json", "--json=none/out.json: the folder none does not"),
    ("--ledger=none/l.jsonl", "--ledger=none/l.jsonl: the folder none does"),
    ("--ledger", "--ledger=bench/ledger.jsonl: the folder bench does not"),
    ("--ledger=broken.jsonl", "broken.jsonl, line 1: it is no JSON"),
  ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_measured(
  tmp_path, monkeypatch, capsys, option, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "broken.jsonl").write_text("{\n")

  def measure(args):
    raise AssertionError("it was measured")

  assert _run([option], measure) == 1
  assert message in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError, OSError, CaseError])
def test_what_cannot_be_measured_is_said_and_not_written(
  tmp_path, capsys, error
):
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"

  def measure(args):
    raise error("no such rows")

  assert _run([f"--json={out}", f"--ledger={ledger}"], measure) == 1
  assert capsys.readouterr().err == "ramjax bench some: no such rows\n"
  assert not out.exists() and not ledger.exists()
