# SPDX-License-Identifier: Apache-2.0
"""Cases of a benchmark: each in a process of its own, in turns, summed up.

A process of its own means that peak memory, thread pools and compiled programs
are that case's alone. Cases take turns, A B A B, so that a machine that slows
down half-way slows both sides.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.tools import topologies

# A case's report, as its process writes it: `step_s` (seconds of each measured
# step), `counts` (sums over those steps, see `COUNTS`), `losses` (first steps,
# warm-up included), `compile_s`, `peak_bytes`, `import_bytes`,
# `device_peak_bytes` (0: not an accelerator), and what the target adds.
Report = dict[str, Any]
Summaries = Mapping[str, Mapping[str, Any]]

# places: tokens with padding. pairs: (query, key) pairs that causal attention
# within the examples has, n (n + 1) / 2 for one of n tokens. Tokens can be more
# than places without padding: those that are computed once for two examples.
COUNTS = ("places", "padding", "tokens", "supervised", "pairs")


# Figures that are counts per second -> the count.
_RATES = {"tokens_per_s": "tokens", "supervised_tokens_per_s": "supervised"}


class CaseError(RuntimeError):
  """A case's process ended without a report."""


@dataclasses.dataclass(frozen=True)
class Case:
  """One thing to measure.

  Attributes:
    name: As in the table, at most 17 characters.
    module: Run as `python -m MODULE SPEC OUT`: reads one JSON file and writes
      another, a `Report`.
    spec: What the module is told.
  """

  name: str
  module: str
  spec: Mapping[str, Any]


class Plan(NamedTuple):
  """What a target wants measured.

  Attributes:
    setup: Run once, before, in this order; they make files, and what they
      report goes to the target's `compare`.
    cases: Run in turns.
    flops: From counts to the floating-point operations the tokens need.
    facts: For the JSON: data, model, settings.
    lines: For the reader of the table.
  """

  setup: Sequence[Case]
  cases: Sequence[Case]
  flops: Callable[[Mapping[str, int]], float]
  facts: Mapping[str, Any]
  lines: Sequence[str]


class Finding(NamedTuple):
  """A comparison: as a sentence, and as figures for the JSON."""

  sentence: str
  figures: Mapping[str, Any]


def run_case(case: Case, folder: pathlib.Path) -> Report:
  """Runs one case in a child process and returns its report.

  Args:
    case: The case.
    folder: Gets the files passed to and from the child, and its log.

  Returns:
    The report.

  Raises:
    CaseError: The child failed; the message ends with the end of its log.
  """
  stem = case.name.replace(" ", "_")
  spec, out = folder / f"{stem}.spec.json", folder / f"{stem}.out.json"
  log = folder / f"{stem}.log"
  spec.write_text(json.dumps(dict(case.spec)))
  # What `ramjax plan` counts on, of a GPU that no other process is using.
  pool = {"XLA_PYTHON_CLIENT_MEM_FRACTION": str(topologies.GPU_POOL_SHARE)}
  out.unlink(missing_ok=True)
  with open(log, "wb") as stream:
    done = subprocess.run(
      [sys.executable, "-m", case.module, str(spec), str(out)],
      stdout=stream,
      stderr=subprocess.STDOUT,
      stdin=subprocess.DEVNULL,
      env=pool | os.environ,
      check=False,
    )
  if done.returncode or not out.is_file():
    tail = log.read_text(errors="replace").strip().splitlines()[-15:]
    raise CaseError(
      f"case {case.name!r} ended with status {done.returncode}; the end of its"
      " log:\n  " + "\n  ".join(tail or ["(empty)"])
    )
  return json.loads(out.read_text())


def run_in_turns(
  cases: Sequence[Case],
  rounds: int,
  folder: pathlib.Path,
  *,
  say: Callable[[str], None],
) -> dict[str, list[Report]]:
  """Runs every case once per round, in order.

  Args:
    cases: The cases.
    rounds: How often each runs.
    folder: See `run_case`.
    say: Told of each case's start and result.

  Returns:
    The reports of each case, by its name.
  """
  reports: dict[str, list[Report]] = {case.name: [] for case in cases}
  for round_ in range(rounds):
    for i, case in enumerate(cases):
      where = f"[{round_ * len(cases) + i + 1}/{rounds * len(cases)}]"
      say(f"{where} {case.name} ...")
      report = run_case(case, folder)
      reports[case.name].append(report)
      rate = report["counts"]["supervised"] / sum(report["step_s"])
      say(
        f"{where} {case.name}: {len(report['step_s'])} steps,"
        f" median {1000 * float(np.median(report['step_s'])):.1f} ms,"
        f" {rate:,.0f} supervised tokens/s"
      )
  return reports


def summarise(
  reports: Sequence[Report],
  *,
  flops: Callable[[Mapping[str, int]], float],
  ceiling: float,
) -> dict[str, Any]:
  """One case's figures from the reports of all its rounds.

  Args:
    reports: At least one.
    flops: From counts to the floating-point operations the tokens need.
    ceiling: FLOP/s that count as 100 %.

  Returns:
    Times in seconds, rates per second, memory in bytes, shares of 1. Rates are
    totals over total time; percentiles are over the steps of all rounds.
  """
  steps = np.concatenate([report["step_s"] for report in reports])
  counts = {
    name: sum(report["counts"][name] for report in reports) for name in COUNTS
  }
  seconds = float(steps.sum())
  num_flops = flops(counts)
  compiled = [r["compile_s"] for r in reports if r["compile_s"] is not None]
  above_imports = max(r["peak_bytes"] - r["import_bytes"] for r in reports)
  p10, median, p90 = np.percentile(steps, [10, 50, 90])
  return {
    "steps": len(steps),
    "step_s_p10": float(p10),
    "step_s_median": float(median),
    "step_s_p90": float(p90),
    "tokens_per_step": counts["tokens"] / len(steps),
    "tokens_per_s": counts["tokens"] / seconds,
    "supervised_tokens_per_s": counts["supervised"] / seconds,
    "padding_share": counts["padding"] / counts["places"],
    "supervised_share": counts["supervised"] / counts["tokens"],
    "flops_per_token": num_flops / counts["tokens"],
    "flops_per_s": num_flops / seconds,
    "mfu": num_flops / seconds / ceiling,
    "compile_s": float(np.median(compiled)) if compiled else None,
    "peak_bytes": max(r["peak_bytes"] for r in reports),
    "peak_above_imports_bytes": above_imports,
    "device_peak_bytes": max(r["device_peak_bytes"] for r in reports),
    "counts": counts,
    "rounds": list(reports),
  }


def ratio(
  summaries: Summaries,
  figure: str,
  over: str,
  under: str,
) -> dict[str, Any]:
  """One case's figure over another's, pooled and in each round.

  Args:
    summaries: From `summarise`, by case.
    figure: "tokens_per_s", "supervised_tokens_per_s" or "step_s_median".
    over: The numerator's case.
    under: The denominator's case.

  Returns:
    `value`, `rounds`, and what was divided.
  """

  def of_round(report: Report) -> float:
    if figure == "step_s_median":
      return float(np.median(report["step_s"]))
    return report["counts"][_RATES[figure]] / sum(report["step_s"])

  pairs = zip(
    summaries[over]["rounds"], summaries[under]["rounds"], strict=True
  )
  return {
    "figure": figure,
    "over": over,
    "under": under,
    "value": summaries[over][figure] / summaries[under][figure],
    "rounds": [of_round(a) / of_round(b) for a, b in pairs],
  }
