# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.bench_cases and bench_machine."""

import os
import pathlib
import subprocess

import pytest

from ramjax.tools import bench_cases, bench_machine
from ramjax.tools.bench_cases import Case


def _report(step_s, *, supervised, peak=700, compile_s=None):
  counts = dict(
    places=100, padding=20, tokens=80, supervised=supervised, pairs=7
  )
  return dict(
    step_s=step_s,
    counts=counts,
    compile_s=compile_s,
    peak_bytes=peak,
    import_bytes=500,
    device_peak_bytes=0,
  )


def _summarise(*reports):
  # 3 operations a token, of which the machine could do 960 a second.
  return bench_cases.summarise(
    reports, flops=lambda counts: 3.0 * counts["tokens"], ceiling=960.0
  )


def test_rates_are_totals_over_total_time_and_percentiles_over_all_steps():
  summary = _summarise(
    _report([0.1, 0.2], supervised=10, compile_s=4.0),
    _report([0.3, 0.4], supervised=30, compile_s=6.0, peak=900),
  )
  expected = dict(
    steps=4,
    step_s_p10=0.13,  # Linear between 0.1 and 0.2, 0.3 of the way.
    step_s_median=0.25,
    step_s_p90=0.37,
    tokens_per_step=40.0,
    tokens_per_s=160.0,
    supervised_tokens_per_s=40.0,
    padding_share=0.2,
    supervised_share=0.25,
    flops_per_token=3.0,
    flops_per_s=480.0,
    mfu=0.5,
    compile_s=5.0,
    peak_bytes=900,
    peak_above_imports_bytes=400,
    device_peak_bytes=0,
  )
  for name, value in expected.items():
    assert summary[name] == pytest.approx(value), name
  assert summary["counts"] == dict(
    places=200, padding=40, tokens=160, supervised=40, pairs=14
  )


def test_a_side_that_does_not_compile_has_no_compile_time():
  assert _summarise(_report([0.1], supervised=1))["compile_s"] is None


def test_ratios_are_pooled_and_by_round():
  summaries = {
    "a": _summarise(
      _report([1.0, 1.0], supervised=20), _report([1.0], supervised=40)
    ),
    "b": _summarise(
      _report([2.0, 2.0], supervised=10), _report([4.0], supervised=20)
    ),
  }
  rate = bench_cases.ratio(summaries, "supervised_tokens_per_s", "a", "b")
  # a: 60 in 3 s; b: 30 in 8 s. Rounds: 10 / 2.5 and 40 / 5.
  assert rate["value"] == pytest.approx((60 / 3) / (30 / 8))
  assert rate["rounds"] == pytest.approx([4.0, 8.0])
  tokens = bench_cases.ratio(summaries, "tokens_per_s", "a", "b")
  # a: 160 in 3 s; b: 160 in 8 s. Rounds: 40 / 20 and 80 / 20.
  assert tokens["value"] == pytest.approx(8 / 3)
  assert tokens["rounds"] == pytest.approx([2.0, 4.0])
  times = bench_cases.ratio(summaries, "step_s_median", "a", "b")
  assert times["value"] == pytest.approx(0.5)
  assert times["rounds"] == pytest.approx([0.5, 0.25])
  assert (times["over"], times["under"]) == ("a", "b")


def test_cases_take_turns(monkeypatch, tmp_path):
  ran = []

  def run_case(case, folder):
    ran.append(case.name)
    return _report([0.5], supervised=10)

  monkeypatch.setattr(bench_cases, "run_case", run_case)
  said = []
  cases = [Case("a", "m", {}), Case("b", "m", {})]
  reports = bench_cases.run_in_turns(cases, 2, tmp_path, say=said.append)
  assert ran == ["a", "b", "a", "b"]
  assert {name: len(runs) for name, runs in reports.items()} == {"a": 2, "b": 2}
  assert said[0] == "[1/4] a ..."
  assert said[-1] == (
    "[4/4] b: 1 steps, median 500.0 ms, 20 supervised tokens/s"
  )


def test_failed_child_is_reported_with_the_end_of_its_log(tmp_path):
  case = Case("no such", "ramjax.tools.no_such_module", {})
  with pytest.raises(bench_cases.CaseError) as error:
    bench_cases.run_case(case, tmp_path)
  assert "case 'no such' ended with status 1" in str(error.value)
  assert "No module named ramjax.tools.no_such_module" in str(error.value)


def test_child_that_writes_nothing_is_not_a_success(tmp_path):
  # A module that is no child: it does nothing with its arguments.
  case = Case("quiet", "ramjax.tools.bench_table", {})
  with pytest.raises(bench_cases.CaseError, match=r"status 0.*\n.*\(empty\)"):
    bench_cases.run_case(case, tmp_path)


@pytest.mark.parametrize(
  ("given", "expected"), [(None, "0.95"), ("0.5", "0.5")]
)
def test_a_child_has_the_gpu_memory_that_plans_count_on(
  tmp_path, monkeypatch, given, expected
):
  name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
  monkeypatch.delenv(name, raising=False)
  if given:
    monkeypatch.setenv(name, given)
  seen = {}

  def run(command, *, env, **_):
    seen.update(env)
    pathlib.Path(command[-1]).write_text("{}")
    return subprocess.CompletedProcess(command, 0)

  monkeypatch.setattr(bench_cases.subprocess, "run", run)
  assert bench_cases.run_case(Case("a", "m", {}), tmp_path) == {}
  assert seen[name] == expected
  assert seen["PATH"] == os.environ["PATH"]


def test_peak_memory_counts_memory_that_is_freed_again():
  block = bytearray(b"x") * (512 * 2**20)
  touched = len(block)
  del block
  # In bytes, then, and not in the kilobytes of the system's own figures.
  assert touched < bench_machine.peak_memory_bytes() < 64 * touched


def test_machine_is_described():
  facts = bench_machine.describe()
  assert facts["cpu"] and facts["load"] >= 0
  assert 1 <= facts["usable_cores"] <= facts["cores"]
  assert bench_machine.compute_dtype("cpu") == "float32"
  assert bench_machine.compute_dtype("gpu") == "bfloat16"


def test_a_machine_is_busy_when_others_have_a_quarter_of_its_cores():
  machine = {"load": 0.5, "usable_cores": 2}
  assert bench_machine.warnings(machine) == []
  busy = {**machine, "load": 0.51}
  assert bench_machine.is_busy(busy) and not bench_machine.is_busy(machine)
  (warning,) = bench_machine.warnings(busy)
  assert "load 0.5 on 2 cores" in warning


def test_a_plain_file_of_just_so_many_bytes_is_timed(tmp_path, monkeypatch):
  num_bytes = bench_machine._DISK_BLOCK_BYTES + 12345
  removed = []
  unlink = type(tmp_path).unlink

  def keep_size(path):
    removed.append(path.stat().st_size)
    unlink(path)

  monkeypatch.setattr(type(tmp_path), "unlink", keep_size)
  rates = bench_machine.disk_bytes_per_s(tmp_path, num_bytes)
  assert min(rates) > 0 and set(removed) == {num_bytes}
  assert list(tmp_path.iterdir()) == []


def test_a_copy_counts_what_is_read_and_what_is_written(monkeypatch):
  monkeypatch.setattr(bench_machine, "_CPU_COPY_BYTES", 2**20)
  monkeypatch.setattr(bench_machine, "_fastest", lambda run: run() or 0.5)
  assert bench_machine.copy_bytes_per_s("cpu") == 2 * 2**20 / 0.5


def test_a_cpu_is_named_with_its_cores():
  name = bench_machine.device_name("cpu")
  assert name == (
    f"{bench_machine.cpu_model()}, {bench_machine.usable_cores()} cores"
  )
