# SPDX-License-Identifier: Apache-2.0
"""Calls of one process, timed in turns, each beside the least it could take.

The least time of some arithmetic and some bytes is the longer of the two at the
device's peaks: those of its data sheet, and of a CPU, which has none that holds,
what a matmul and a copy reach here and now.
"""

import argparse
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.tools import (
  bench_ledger,
  bench_machine,
  bench_table,
  option_types,
  topologies,
)

WARMUP = 3
FORMULA = (
  "floor = the longer of FLOP over the peak of matmuls and of bytes over the"
  " peak of memory. Every result is waited for."
)

# A column of the table: heading, and what is shown of a figure.
Column = tuple[str, Callable[[Mapping[str, Any]], str]]


class Peaks(NamedTuple):
  """What a device can do at most.

  Attributes:
    device: "cpu", "gpu" or "tpu".
    name: Of the device.
    flops_per_s: Of matmuls, in the dtype of `bench_machine.compute_dtype`.
    bytes_per_s: To its memory, reads and writes together.
    source: "data sheet" or "measured".
    measured: What a matmul and a copy reached, in any case.
  """

  device: str
  name: str
  flops_per_s: float
  bytes_per_s: float
  source: str
  measured: Mapping[str, Any]


class Call(NamedTuple):
  """Something to time.

  Attributes:
    run: Returns when it is done.
    flops: Operations that it needs.
    num_bytes: That it must read and write at least once.
  """

  run: Callable[[], Any]
  flops: float
  num_bytes: float


def find_peaks() -> Peaks:
  """Of JAX's default device."""
  matmul = bench_machine.matmul_ceiling("jax", "")
  copy = bench_machine.copy_bytes_per_s(matmul["device"])
  name = bench_machine.device_name(matmul["device"])
  measured = dict(matmul, copy_bytes_per_s=copy)
  known = topologies.find_device(name)
  if known is None:
    rates = matmul["best"], copy
  else:
    rates = known.flops_per_s, known.memory_bytes_per_s
  source = "measured" if known is None else "data sheet"
  return Peaks(matmul["device"], name, *rates, source, measured)


def measure(
  calls: Mapping[str, Call], *, steps: int, seconds: float, peaks: Peaks
) -> dict[str, dict[str, Any]]:
  """Times calls in turns, and puts each beside its floor.

  Args:
    calls: By name.
    steps: See `time_in_turns`.
    seconds: The same.
    peaks: Of the device.

  Returns:
    A `figure` of each, with `flops` and `bytes`.
  """
  runs = {name: call.run for name, call in calls.items()}
  times = time_in_turns(runs, steps=steps, seconds=seconds)
  return {
    name: dict(
      figure(times[name], floor_s(call.flops, call.num_bytes, peaks)),
      flops=call.flops,
      bytes=call.num_bytes,
    )
    for name, call in calls.items()
  }


def time_in_turns(
  runs: Mapping[str, Callable[[], Any]], *, steps: int, seconds: float
) -> dict[str, list[float]]:
  """Seconds of each run, A B A B.

  Args:
    runs: By name; each returns when it is done.
    steps: Of each, after `WARMUP`.
    seconds: After which one is timed no more, having been at least once.
  """
  times: dict[str, list[float]] = {name: [] for name in runs}
  for step in range(WARMUP + steps):
    for name, run in runs.items():
      if sum(times[name]) > seconds:
        continue
      start = time.perf_counter()
      run()
      if step >= WARMUP:
        times[name].append(time.perf_counter() - start)
  return times


def floor_s(flops: float, num_bytes: float, peaks: Peaks) -> float:
  """The least seconds that so much arithmetic and so many bytes can take."""
  return max(flops / peaks.flops_per_s, num_bytes / peaks.bytes_per_s)


def figure(step_s: Sequence[float], floor: float | None) -> dict[str, Any]:
  """Seconds of some steps, summed up.

  Args:
    step_s: Of each.
    floor: The least it could take; None where nothing says.
  """
  p10, median, p90 = map(float, np.percentile(step_s, [10, 50, 90]))
  return {
    "steps": len(step_s),
    "step_s_p10": p10,
    "step_s_median": median,
    "step_s_p90": p90,
    "floor_s": floor,
    "over_floor": None if floor is None else median / floor,
    "step_s": list(step_s),
  }


def table(
  figures: Mapping[str, Mapping[str, Any]], columns: Sequence[Column] = ()
) -> list[str]:
  """One line a figure, in ms, at most `bench_table.WIDTH` wide.

  Args:
    figures: By name, of at most 36 characters.
    columns: What a target adds; each takes 11 characters, and there is room for
      two.
  """

  def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else bench_table.rounded(1000 * seconds)

  def ratio(over: float | None) -> str:
    return "-" if over is None else bench_table.rounded(over)

  heads = "".join(f"{head:>11}" for head, _ in columns)
  names = ("p10, ms", "median", "p90", "floor", "/ floor")
  shown = [f"{'':<36}" + "".join(f"{name:>8}" for name in names) + heads]
  for name, found in figures.items():
    cells = [
      *(milliseconds(found[f"step_s_{n}"]) for n in ("p10", "median", "p90")),
      milliseconds(found["floor_s"]),
      ratio(found["over_floor"]),
    ]
    more = "".join(f"{show(found):>11}" for _, show in columns)
    shown.append(f"{name:<36}" + "".join(f"{c:>8}" for c in cells) + more)
  return shown


def report(
  target: str,
  size: str,
  machine: Mapping[str, Any],
  device: str,
  device_name: str,
) -> dict[str, Any]:
  """The part of a report that is the same for every target.

  Args:
    target: Its name.
    size: The name of what was measured.
    machine: From `bench_machine.describe`, before anything was measured.
    device: "cpu", "gpu" or "tpu".
    device_name: Its name.
  """
  return dict(
    target=target,
    size=size,
    date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    machine=machine,
    device=device,
    device_name=device_name,
    versions=bench_machine.versions(("ramjax", "jax", "jaxlib", "numpy")),
    warmup_steps=WARMUP,
  )


def introduction(report: Mapping[str, Any]) -> list[str]:
  """What the reader of a table needs to know of where it was measured."""
  versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
  lines = [
    *bench_machine.warnings(report["machine"]),
    f"device: {report['device_name']}; {versions}",
  ]
  if "peaks" not in report:
    return lines
  peaks = report["peaks"]
  return [
    *lines,
    f"peaks, {peaks['source']}: {peaks['flops_per_s'] / 1e9:,.0f} GFLOP/s in"
    f" {peaks['measured']['dtype']}, {peaks['bytes_per_s'] / 1e9:,.1f} GB/s;"
    f" a matmul reached {peaks['measured']['best'] / 1e9:,.0f}, a copy"
    f" {peaks['measured']['copy_bytes_per_s'] / 1e9:,.1f}",
  ]


def headlines(
  figures: Mapping[str, Mapping[str, Any]],
) -> dict[str, bench_ledger.Figure]:
  """The medians of figures, in ms, for the ledger."""
  return {
    name: bench_ledger.Figure(
      1000 * found["step_s_median"],
      "ms",
      None if found["floor_s"] is None else 1000 * found["floor_s"],
    )
    for name, found in figures.items()
  }


def size_here(asked: str) -> str:
  """The size that was asked for, or the one for JAX's default device."""
  import jax

  return asked or ("small" if jax.default_backend() == "cpu" else "large")


def add_size(parser: argparse.ArgumentParser, sizes: Mapping[str, Any]) -> None:
  """Adds which of a target's sizes is measured: see `size_here`."""
  parser.add_argument(
    "--size",
    choices=tuple(sizes),
    default="",
    help="see below (default: small on a CPU, large elsewhere)",
  )


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds how often and how long a figure is measured."""
  parser.add_argument(
    "--steps",
    type=option_types.positive_int,
    default=20,
    metavar="NUM",
    help=f"times that each figure is measured, after {WARMUP} to warm up"
    " (default: %(default)s)",
  )
  parser.add_argument(
    "--seconds",
    type=option_types.positive_float,
    default=10.0,
    metavar="SECONDS",
    help="measure a figure no longer, with fewer steps if need be"
    " (default: %(default)g)",
  )
