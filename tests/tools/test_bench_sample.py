# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.bench_sample."""

import copy
import json
import sys

import pytest
import tiny_compile

from ramjax.tools import bench, bench_cases, bench_sample, bench_table

_CASE = {
  "counts": {"supervised": 100, "places": 100},
  "peak_bytes": 30_000_000,
  "import_bytes": 10_000_000,
  "compile_s": 3.0,
}
_REPORT = {
  "machine": {"cpu": "a CPU", "usable_cores": 2, "load": 0.1},
  "versions": {"ramjax": "1", "jax": "2"},
  "formula": bench_sample._FORMULA,
  "size": "small",
  "parameters": 8_000_000,
  "prompts": 128,
  "batch": 32,
  "prompt_tokens": (8, 128),
  "answer_tokens": (16, 256),
  "cases": {
    "ours": bench_sample.summarise([dict(_CASE, step_s=[0.1, 0.1])]),
    "transformers": bench_sample.summarise(
      [
        dict(
          _CASE,
          step_s=[0.5],
          compile_s=None,
          counts={"supervised": 100, "places": 400},
        )
      ]
    ),
  },
  "speed": {"value": 3.0, "rounds": [3.1, 2.9]},
  "queues": {"16": {"cost_s": 1e-3}, "1024": {"cost_s": 1.25e-3}},
  "growth": 1.25,
  "failures": [],
}


def test_rates_are_of_useful_tokens():
  ours, theirs = _REPORT["cases"].values()
  assert ours["supervised_tokens_per_s"] == pytest.approx(500)
  assert theirs["supervised_tokens_per_s"] == pytest.approx(200)
  assert (ours["useful_share"], theirs["useful_share"]) == (1, 0.25)
  assert ours["peak_above_imports_bytes"] == 20_000_000


def test_what_keeps_to_the_limits_does_not_fail():
  assert bench_sample.failures(_REPORT) == []
  assert bench_sample.failures({**_REPORT, "speed": None}) == []


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (dict(speed={"value": 2.99}), "2.99 times the peer's tokens/s, under 3.00"),
    (dict(growth=1.26), "costs 1.26 times that of the cheapest, over 1.25"),
  ],
)
def test_what_does_not_fails_with_its_figure(changes, message):
  (failure,) = bench_sample.failures({**_REPORT, **changes})
  assert message in failure


def test_figures_are_printed_beside_what_is_wanted():
  printed = bench_sample.lines(_REPORT)
  text = " ".join("\n".join(printed).split())
  assert "ours / transformers: 3.00, at least 3.00 wanted" in text
  assert "1.25 times that of the cheapest, at most 1.25 wanted" in text
  assert "ours 500 100.0 2 0.10 3.0 20" in text
  assert "transformers 200 25.0 1 0.50 - 20" in text
  assert "1,024 1,250" in text and "WARNING" not in text
  wide = "\n".join(printed).splitlines()
  assert max(map(len, wide)) <= bench_table.WIDTH


def test_a_busy_machine_and_a_failure_are_said():
  report = copy.deepcopy(_REPORT)
  report["machine"]["load"] = 1.5
  report["failures"] = ["too slow"]
  text = "\n".join(bench_sample.lines(report))
  assert "WARNING: the machine was busy" in text
  assert "FAILED: too slow." in text


def test_two_different_models_are_not_compared():
  ours, theirs = {"greedy": [[1, 2], [3, 4]]}, {"greedy": [[1, 2], [3, 5]]}
  bench_sample.require_same_tokens({"ours": [ours], "transformers": [ours]})
  with pytest.raises(ValueError, match="1 of 2 greedy answers"):
    bench_sample.require_same_tokens({"ours": [ours], "transformers": [theirs]})


@pytest.fixture
def no_measuring(monkeypatch):
  """Fails the test if any case is run."""

  def run_case(case, folder):
    raise AssertionError(f"{case.name} was run")

  monkeypatch.setattr(bench_cases, "run_case", run_case)


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_missing_peer_is_said_before_anything_is_measured(
  monkeypatch, capsys, no_measuring, missing
):
  monkeypatch.setitem(sys.modules, missing, None)  # Import would fail.
  monkeypatch.setattr(
    "importlib.util.find_spec", lambda name: None if name == missing else 1
  )
  assert bench.main(["sample", "--against=hf"]) == 1
  printed = capsys.readouterr().err
  assert f"--against=hf needs {missing}, which" in printed
  assert "pip install 'ramjax[peers]'" in printed


def test_json_in_no_folder_is_refused_before_anything_is_measured(
  tmp_path, capsys, no_measuring
):
  out = tmp_path / "none" / "out.json"
  assert bench.main(["sample", f"--json={out}"]) == 1
  assert f"the folder {out.parent} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--seconds=nan", "'nan' is no number above 0"),
    ("--batch=0", "'0' is no whole number above 0"),
    ("--prompts=-3", "'-3' is no whole number above 0"),
    ("--against=vllm", "invalid choice: 'vllm'"),
    ("--size=70b", "invalid choice: '70b'"),
  ],
)
def test_wrong_arguments_exit_with_2(argument, message, capsys):
  with pytest.raises(SystemExit) as exit_:
    bench.main(["sample", argument])
  assert exit_.value.code == 2
  assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.peers
def test_both_sides_answer_the_same_queue(tmp_path, monkeypatch, capsys):
  for package in ("torch", "transformers"):
    pytest.importorskip(package)
  # Speed is no matter of this test.
  monkeypatch.setenv("XLA_FLAGS", tiny_compile.quick())
  monkeypatch.setattr(bench_sample, "MIN_SPEED", 0.0)
  monkeypatch.setattr(bench_sample, "MAX_GROWTH", 100.0)
  monkeypatch.setattr(bench_sample, "_QUEUES", (4, 8))
  out = tmp_path / "out.json"
  argv = ["--size=tiny", "--prompts=12", "--batch=4", "--seconds=0.1"]
  argv = ["sample", *argv, "--against=hf", f"--json={out}"]
  assert bench.main(argv) == 0
  report = json.loads(out.read_text())
  assert report["command"] == ["ramjax", "bench", *argv]
  ours, theirs = report["cases"]["ours"], report["cases"]["transformers"]
  assert len(ours["rounds"]) == len(theirs["rounds"]) == 2
  assert ours["useful_share"] == 1 > theirs["useful_share"] > 0.1
  tokens = [r["rounds"][0]["counts"]["supervised"] for r in (ours, theirs)]
  passes = [len(r["rounds"][0]["step_s"]) for r in (ours, theirs)]
  assert tokens[0] / passes[0] == tokens[1] / passes[1]
  assert list(report["queues"]) == ["4", "8"]
  assert "ours / transformers" in capsys.readouterr().out
