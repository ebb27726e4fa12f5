# SPDX-License-Identifier: Apache-2.0
"""What a benchmark prints: a table and sentences, at most 100 columns wide."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.tools.bench_cases import Summaries

WIDTH = 100
NAME_WIDTH = 17


def rounded(value: float) -> str:
  """Three digits at least, two of a small one: "1,234", "8.25", "0.0012"."""
  if 0 < value < 0.1:
    return f"{value:.2g}"
  decimals = 2 if value < 10 else 1 if value < 100 else 0
  return f"{value:,.{decimals}f}"


# Two lines of heading, width, and what is shown.
_Column = tuple[str, str, int, Callable[[Mapping[str, Any]], str]]

_TIME: Sequence[_Column] = (
  ("tokens", "/step", 8, lambda s: f"{s['tokens_per_step']:,.0f}"),
  ("step", "p10", 8, lambda s: rounded(1000 * s["step_s_p10"])),
  ("time,", "median", 8, lambda s: rounded(1000 * s["step_s_median"])),
  ("ms", "p90", 8, lambda s: rounded(1000 * s["step_s_p90"])),
  ("tokens", "/s", 10, lambda s: f"{s['tokens_per_s']:,.0f}"),
  ("superv.", "/s", 9, lambda s: f"{s['supervised_tokens_per_s']:,.0f}"),
  ("pad", "%", 5, lambda s: f"{100 * s['padding_share']:.1f}"),
  ("GFLOP", "/s", 8, lambda s: rounded(s["flops_per_s"] / 1e9)),
  ("MFU", "%", 5, lambda s: f"{100 * s['mfu']:.1f}"),
)
_COMPILE: _Column = (
  "comp.",
  "s",
  6,
  lambda s: "-" if s["compile_s"] is None else f"{s['compile_s']:.1f}",
)
_MEMORY: _Column = (
  "peak",
  "MB",
  7,
  lambda s: f"{s['peak_above_imports_bytes'] / 1e6:,.0f}",
)
_DEVICE_MEMORY: _Column = (
  "device",
  "MB",
  7,
  lambda s: f"{s['device_peak_bytes'] / 1e6:,.0f}",
)


def table(summaries: Summaries) -> str:
  """One line a case under two of headings.

  Args:
    summaries: From `bench_cases.summarise`, by name of case.

  Returns:
    Lines of at most `WIDTH` characters.
  """
  on_device = any(s["device_peak_bytes"] for s in summaries.values())
  columns = (*_TIME, _COMPILE, _DEVICE_MEMORY if on_device else _MEMORY)
  upper = "".join(f"{upper:>{width}}" for upper, _, width, _ in columns)
  lower = "".join(f"{lower:>{width}}" for _, lower, width, _ in columns)
  lines = [" " * NAME_WIDTH + upper, f"{'case':<{NAME_WIDTH}}{lower}"]
  for name, summary in summaries.items():
    cells = "".join(f"{show(summary):>{width}}" for *_, width, show in columns)
    lines.append(f"{name:<{NAME_WIDTH}}{cells}")
  return "\n".join(lines)


def absolute_memory(summaries: Summaries) -> str:
  """Peak memory of each case's process, imports and all, as a sentence."""
  shares = ", ".join(
    f"{name} {summary['peak_bytes'] / 1e6:,.0f}"
    for name, summary in summaries.items()
  )
  return (
    "peak MB is above what the imported packages take; with them, the whole"
    f" process: {shares}"
  )


def of_data_sheet(summaries: Summaries, peak: float) -> str:
  """What the vendor's peak would allow, and the share of it, as a sentence.

  Args:
    summaries: From `bench_cases.summarise`, by name of case.
    peak: FLOP/s of dense bfloat16 matmuls, from the data sheet.
  """
  shares = ", ".join(
    f"{name} {summary['tokens_per_s']:,.0f} of"
    f" {peak / summary['flops_per_token']:,.0f} tokens/s"
    f" ({100 * summary['flops_per_s'] / peak:.1f} %)"
    for name, summary in summaries.items()
  )
  return f"limit by the data sheet's {peak / 1e12:,.1f} TFLOP/s: {shares}"


def wrapped(line: str) -> str:
  """A sentence over several lines, the later ones indented."""
  return textwrap.fill(
    line,
    WIDTH,
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
  )
