# SPDX-License-Identifier: Apache-2.0
"""What `ramjax bench sample` prints: two tables, and what they come to."""

from collections.abc import Mapping
from typing import Any

from ramjax.tools import bench_calls, bench_table


def lines(report: Mapping[str, Any]) -> list[str]:
  """The report of `bench_sample`, for the reader.

  Args:
    report: As `--json` has it.

  Returns:
    Lines of at most `bench_table.WIDTH` characters.
  """
  least, most = report["prompt_tokens"]
  shortest, longest = report["answer_tokens"]
  opening = [
    *bench_calls.introduction(report),
    f"model: {report['size']}, {report['parameters']:,} parameters,"
    f" {report['model']['dtype']}; {report['prompts']} prompts of {least} to"
    f" {most} tokens, answers of {shortest} to {longest}, both log-uniform;"
    f" {report['batch']} rows at a time",
  ]
  return [
    *map(bench_table.wrapped, opening),
    "",
    *_cases(report["cases"]),
    "",
    *_queues(report["queues"]),
    "",
    *map(bench_table.wrapped, _closing(report)),
  ]


def _cases(cases: Mapping[str, Mapping[str, Any]]) -> list[str]:
  on_device = any(case["device_peak_bytes"] for case in cases.values())
  peak = "device_peak_bytes" if on_device else "peak_above_imports_bytes"
  memory = "device, MB" if on_device else "memory, MB"
  table = [
    f"{'':<14}{'tokens/s':>10}{'ceiling':>11}{'share, %':>10}{'useful, %':>11}"
    f"{'passes':>8}{'pass, s':>9}{'comp., s':>10}{memory:>12}"
  ]
  for name, case in cases.items():
    compiled = case["compile_s"]
    table.append(
      f"{name:<14}{case['supervised_tokens_per_s']:>10,.0f}"
      f"{case['ceiling_tokens_per_s']:>11,.0f}"
      f"{100 * case['share_of_ceiling']:>10.1f}"
      f"{100 * case['useful_share']:>11.1f}{case['passes']:>8}"
      f"{case['pass_s_median']:>9.2f}"
      f"{'-' if compiled is None else f'{compiled:.1f}':>10}"
      f"{case[peak] / 1e6:>12,.0f}"
    )
  return table


def _queues(queues: Mapping[str, Mapping[str, float]]) -> list[str]:
  table = [f"{'prompts':<14}{'us/token':>10}{'floor':>11}"]
  for num, queue in queues.items():
    cost, floor = (
      bench_table.rounded(1e6 * queue[name]) for name in ("cost_s", "floor_s")
    )
    table.append(f"{int(num):<14,}{cost:>10}{floor:>11}")
  return table


def _closing(report: Mapping[str, Any]) -> list[str]:
  closing, limits = [], report["limits"]
  if report["speed"] is not None:
    speed = report["speed"]
    rounds = ", ".join(f"{value:.2f}" for value in speed["rounds"])
    closing.append(
      f"useful tokens/s, ours / transformers: {speed['value']:.2f}, at least"
      f" {limits['speed']:.2f} wanted (by round: {rounds}). Greedily both sides"
      " answer the same."
    )
  growth = "not measured"
  if report["growth"] is not None:
    growth = f"{report['growth']:.2f} times that of the cheapest"
  longest = max(map(int, report["queues"]))
  closing.append(
    f"cost of a token, {min(map(int, report['queues']))} rows and every prompt"
    f" and answer of 32 tokens: in the longest queue, of {longest:,}, {growth}, at"
    f" most {limits['growth']:.2f} wanted."
  )
  closing.append(report["formula"])
  return closing + [f"FAILED: {failure}." for failure in report["failures"]]
