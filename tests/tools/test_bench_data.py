# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench data`: rates of input, and those that a step needs."""

import json

import pytest

from ramjax.configs import base
from ramjax.data import load, parse_rows
from ramjax.tools import (
  bench,
  bench_calls,
  bench_cases,
  bench_data,
  bench_ledger,
  bench_table,
  bench_training,
)

_ROWS = "tasks:200?seed=0"
_MATMUL = dict(device="cpu", device_name="a CPU")
_STEP = dict(step_s=[0.5, 1.5], counts=dict(tokens=3000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """With a tokenizer of the rows."""
  folder = tmp_path_factory.mktemp("data")
  rows = load.load_rows(_ROWS, parse=parse_rows.parse_sft).rows
  bench_training.make_tokenizer(folder, rows, 1024, "plain")
  return folder


def test_rates_are_of_rows_and_tokens(folder, monkeypatch):
  def time_in_turns(runs, *, steps, seconds):
    for run in runs.values():
      for _ in range(bench_calls.WARMUP + steps):
        run()
    return {name: [0.5] * steps for name in runs}

  monkeypatch.setattr(bench_calls, "time_in_turns", time_in_turns)
  config = base.sft()
  found = bench_data.measure_input(_ROWS, folder, config, steps=2, seconds=9)
  read, tokenise, pack = found["figures"].values()
  assert read["rows_per_s"] == tokenise["rows_per_s"] == 200 / 0.5
  assert read["tokens_per_s"] is None
  # The tasks have 20 to 30 tokens each.
  assert 20 < tokenise["tokens_per_s"] / tokenise["rows_per_s"] < 40
  places = config.data.batch_size * config.data.max_length
  assert pack["tokens_per_s"] == pytest.approx(found["fill"] * places / 0.5)
  assert 0.9 < found["fill"] <= 1
  per_row = pack["tokens_per_s"] / pack["rows_per_s"]
  assert per_row == pytest.approx(
    tokenise["tokens_per_s"] / tokenise["rows_per_s"], rel=0.1
  )


def test_input_is_set_against_what_a_step_takes():
  figures = {
    "read and parse": dict(rows_per_s=100.0, tokens_per_s=None),
    "tokenise": dict(rows_per_s=50.0, tokens_per_s=1000.0),
    "pack a batch": dict(rows_per_s=1.0, tokens_per_s=6000.0),
  }
  # 3,000 tokens in 2 s. Of 50 rows, 1,000 tokens: reading takes 0.5 s,
  # tokenising 1 s, and the steps 1,000 / 1,500 s.
  assert bench_data.compare(dict(figures=figures), _STEP) == dict(
    step_tokens_per_s=1500.0, keeps_up=4.0, epoch_share=1.5 / (1000 / 1500)
  )


@pytest.fixture
def no_step(monkeypatch):
  """No process is started; what cases would run is returned."""
  ran = []

  def run_case(case, folder):
    ran.append(case)
    return _STEP if case.name == "ours packed" else _MATMUL

  monkeypatch.setattr(bench_cases, "run_case", run_case)
  return ran


def test_the_command_prints_writes_and_keeps(tmp_path, capsys, no_step):
  out, ledger = tmp_path / "out.json", tmp_path / "ledger.jsonl"
  argv = [f"--rows={_ROWS}", "--size=tiny", "--steps=1"]
  argv += [f"--json={out}", f"--ledger={ledger}"]
  assert bench.main(["data", *argv]) == 0
  assert [case.name for case in no_step] == ["matmul jax", "ours packed"]
  shown = capsys.readouterr().out
  assert max(map(len, shown.splitlines())) <= bench_table.WIDTH
  report = json.loads(out.read_text())
  said = " ".join(shown.split())
  assert "takes 1,500 tokens/s: input keeps up with" in said
  assert report["command"] == ["ramjax", "bench", "data", *argv]
  for name in ("formula", "versions", "date", "code", "device"):
    assert report[name], name
  assert report["rows"] == _ROWS and report["keeps_up"] > 0
  (entry,) = bench_ledger.read(ledger)
  assert entry["size"] == f"tiny, {_ROWS}"
  assert entry["figures"]["pack a batch"]["floor"] == 1500.0
  assert entry["figures"]["fill"]["unit"] == "%"


def test_rows_that_do_not_exist_are_refused(capsys, no_step):
  assert bench.main(["data", "--rows=none.jsonl"]) == 1
  error = capsys.readouterr().err
  assert error.startswith("ramjax bench data: ") and "none.jsonl" in error


def test_an_unknown_size_exits_with_2(capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["data", "--size=70b"])
  assert end.value.code == 2
  assert "invalid choice: '70b'" in capsys.readouterr().err


def test_help_says_what_is_measured(capsys):
  with pytest.raises(SystemExit) as end:
    bench.main(["data", "--help"])
  assert end.value.code == 0
  assert "ramjax bench data --rows=alpaca.json.gz" in capsys.readouterr().out
