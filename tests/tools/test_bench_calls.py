# SPDX-License-Identifier: Apache-2.0
"""Calls timed in turns: the clock is told what time it is."""

import pytest

from ramjax.tools import bench_calls, bench_machine, bench_table
from ramjax.tools.bench_calls import Call, Peaks

_PEAKS = Peaks("cpu", "a CPU", 100.0, 10.0, "measured", {})


class _Clock:
  """Moves on by what a run takes."""

  def __init__(self):
    self.now = 0.0
    self.ran = []

  def perf_counter(self):
    return self.now

  def run(self, name, seconds):
    """A run that takes the next of `seconds`, then the last again."""
    left = list(seconds)

    def run():
      self.ran.append(name)
      self.now += left.pop(0) if len(left) > 1 else left[0]

    return run


@pytest.fixture
def clock(monkeypatch):
  clock = _Clock()
  monkeypatch.setattr(bench_calls, "time", clock)
  return clock


def test_runs_take_turns_and_the_first_three_do_not_count(clock):
  runs = {
    "a": clock.run("a", [9, 9, 9, 1, 2]),
    "b": clock.run("b", [7, 7, 7, 3, 4]),
  }
  times = bench_calls.time_in_turns(runs, steps=2, seconds=100)
  assert clock.ran == ["a", "b"] * 5
  assert times == {"a": [1, 2], "b": [3, 4]}


def test_a_slow_run_is_timed_once_at_least_and_a_fast_one_goes_on(clock):
  runs = {"slow": clock.run("slow", [60]), "fast": clock.run("fast", [1])}
  times = bench_calls.time_in_turns(runs, steps=20, seconds=5)
  assert times == {"slow": [60], "fast": [1] * 6}


@pytest.mark.parametrize(
  ("flops", "num_bytes", "seconds"),
  [(200, 10, 2), (200, 30, 3), (0, 5, 0.5), (50, 0, 0.5)],
)
def test_a_floor_is_the_longer_of_arithmetic_and_memory(
  flops, num_bytes, seconds
):
  assert bench_calls.floor_s(flops, num_bytes, _PEAKS) == seconds


def test_a_figure_is_beside_its_floor(clock):
  calls = {"a": Call(clock.run("a", [3, 4, 5, 1, 2, 3]), 200.0, 10.0)}
  found = bench_calls.measure(calls, steps=3, seconds=100, peaks=_PEAKS)["a"]
  assert found["step_s"] == [1, 2, 3] and found["steps"] == 3
  assert found["step_s_median"] == 2
  assert found["step_s_p10"] == pytest.approx(1.2)
  assert found["step_s_p90"] == pytest.approx(2.8)
  assert found["floor_s"] == 2 and found["over_floor"] == 1
  assert (found["flops"], found["bytes"]) == (200, 10)


def test_what_has_no_floor_is_over_none():
  found = bench_calls.figure([0.5], None)
  assert found["floor_s"] is None and found["over_floor"] is None
  shown = bench_calls.table({"a": found})
  assert shown[1].split() == ["a", "500", "500", "500", "-", "-"]


def test_a_table_has_a_line_a_figure_and_the_columns_of_its_target():
  name = "splash fwd+bwd H=128 T=8192 unpacked"
  figure = bench_calls.figure([12.3456, 12.3456], 0.0012)
  columns = [("GB/s", lambda f: "1,234"), ("|diff|", lambda f: "1.0e-03")]
  head, row = bench_calls.table({name: figure}, columns)
  assert head.split()[-4:] == ["/", "floor", "GB/s", "|diff|"]
  assert row.startswith(name) and len(row) == len(head) <= bench_table.WIDTH
  assert row[len(name) :].split() == [
    "12,346", "12,346", "12,346", "1.20", "10,288", "1,234", "1.0e-03",
  ]  # fmt: skip


def test_ledgers_get_medians_in_ms():
  figures = {
    "a": bench_calls.figure([1.0, 2.0, 9.0], 0.5),
    "b": bench_calls.figure([1.0], None),
  }
  assert bench_calls.headlines(figures) == {
    "a": (2000.0, "ms", 500.0),
    "b": (1000.0, "ms", None),
  }


def _peaks(monkeypatch, name):
  matmul = {"device": "gpu", "dtype": "bfloat16", "best": 7e14}
  monkeypatch.setattr(bench_machine, "matmul_ceiling", lambda *_: matmul)
  monkeypatch.setattr(bench_machine, "copy_bytes_per_s", lambda _: 3e12)
  monkeypatch.setattr(bench_machine, "device_name", lambda _: name)
  return bench_calls.find_peaks()


def test_a_known_chip_is_held_to_its_data_sheet(monkeypatch):
  peaks = _peaks(monkeypatch, "NVIDIA H200")
  assert (peaks.flops_per_s, peaks.bytes_per_s) == (989.4e12, 4800e9)
  assert peaks.source == "data sheet"
  assert peaks.measured["best"] == 7e14
  assert peaks.measured["copy_bytes_per_s"] == 3e12


def test_another_is_held_to_what_a_matmul_and_a_copy_reach(monkeypatch):
  peaks = _peaks(monkeypatch, "a CPU, 2 cores")
  assert (peaks.flops_per_s, peaks.bytes_per_s) == (7e14, 3e12)
  assert peaks.source == "measured"


def test_a_reader_is_told_the_device_and_a_busy_machine():
  machine = {"load": 1.5, "usable_cores": 2}
  report = bench_calls.report("data", "small", machine, "cpu", "a CPU")
  warning, device = bench_calls.introduction(report)
  assert warning.startswith("WARNING: the machine was busy")
  assert device.startswith("device: a CPU; ramjax ")
