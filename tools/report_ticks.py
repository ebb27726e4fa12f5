# SPDX-License-Identifier: Apache-2.0
"""Round numbers for the axes of a chart, and how to write them."""

import math
from collections.abc import Sequence


def linear_ticks(
  low: float, high: float, *, count: int = 5, whole: bool = False
) -> list[float]:
  """Multiples of 1, 2 or 5 times a power of ten that enclose [low, high].

  Args:
    low: The smallest value to enclose.
    high: The largest, above `low`.
    count: About how many intervals to make; never more, but for the one that
      rounding outwards may add at each end.
    whole: Whether ticks are whole numbers, as for steps.

  Returns:
    Ascending ticks; the first is at most `low`, the last at least `high`.
  """
  smallest = (high - low) / count
  exponent = math.floor(math.log10(smallest))
  factor = 1
  for factor in (1, 2, 5, 10):
    if factor * 10.0**exponent >= smallest * (1 - 1e-9):
      break
  if whole and exponent < 0:
    factor, exponent = 1, 0
  step = factor * 10.0**exponent
  first = math.floor(low / step + 1e-9)
  last = math.ceil(high / step - 1e-9)
  # Dividing by a whole power of ten rounds once: 3 / 10 is 0.3, 3 * 0.1 is not.
  up, down = 10 ** max(exponent, 0), 10 ** max(-exponent, 0)
  return [i * factor * up / down for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
  """Round numbers that enclose [low, high] on a logarithmic axis.

  1, 2 and 5 times powers of ten if nine of them are enough, else powers of ten,
  of which at most about seven are kept.

  Args:
    low: The smallest value to enclose, > 0.
    high: The largest, above `low`.

  Returns:
    Ascending ticks; the first is at most `low`, the last at least `high`.
  """
  first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
  stride = max(1, math.ceil((last - first) / 6))
  kept: list[float] = []
  for factors, step in (((1, 2, 5), 1), ((1,), stride)):
    ticks = [
      factor * 10.0**exponent
      for exponent in range(first, last + step + 1, step)
      for factor in factors
    ]
    start = max(i for i, t in enumerate(ticks) if t <= low * (1 + 1e-9))
    stop = min(i for i, t in enumerate(ticks) if t >= high * (1 - 1e-9))
    kept = ticks[start : stop + 1]
    if len(kept) <= 9:
      break
  return kept


def tick_labels(ticks: Sequence[float], *, percent: bool = False) -> list[str]:
  """Short texts for the ticks of one axis, all in the same unit.

  Args:
    ticks: The values to name.
    percent: Whether the values are shares, to be shown times 100 with "%".

  Returns:
    One text a tick: "0.5", "20k", "1.5M", "3e-4", "40%".
  """
  if percent:
    return [f"{100 * tick:.6g}%" for tick in ticks]
  largest = max(abs(tick) for tick in ticks)
  if largest and not 1e-3 <= largest < 1e15:
    power = math.floor(math.log10(largest) + 1e-9)
    return [f"{t / 10.0**power:.4g}e{power}" if t else "0" for t in ticks]
  unit, suffix = 1.0, ""
  for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
    if largest >= size:
      unit, suffix = (1e3 if letter == "k" else size), letter
      break
  labels = [f"{t / unit:.4g}{suffix}" if t else "0" for t in ticks]
  if len(set(labels)) < len(labels):  # A narrow range far from zero.
    labels = [f"{tick:.10g}" for tick in ticks]
  return labels
