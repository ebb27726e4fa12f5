# SPDX-License-Identifier: Apache-2.0
"""The points of a curve: made fewer or smoother, and told in words."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

# Beyond this a number is drawn as a gap: spans of such axes overflow a float.
LARGEST = 1e100

Mark = Literal["line", "dots", "dashes", "rule"]
Tint = Literal[
  "", "chosen", "rejected", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"
]
# Of the runs that a page compares, by their order.
RUNS: tuple[Tint, ...] = ("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7")


@dataclasses.dataclass(frozen=True)
class Series:
  """One named curve.

  Attributes:
    name: What the legend says.
    x: [N] positions, finite and ascending.
    y: [N] values; what is not finite becomes a gap.
    mark: "line", "dots" (a dashed line with a dot on each point), "dashes", or
      "rule" (a dotted line over the whole width at the last value).
    window: Odd. Above 1 the points are drawn faint, and their running mean over
      this many of them is drawn over them.
    tint: The colour, where charts agree on one for what is drawn; "" is the
      mark's own.
    low: [N] lower ends of an interval about each value, drawn as a band; what
      is not finite has none.
    high: [N] upper ends.
  """

  name: str
  x: Sequence[float]
  y: Sequence[float]
  mark: Mark = "line"
  window: int = 1
  tint: Tint = ""
  low: Sequence[float] | None = None
  high: Sequence[float] | None = None


class Drawn(NamedTuple):
  """A curve as it is drawn: thinned, gaps are NaN, at least one is not.

  `style` is its CSS class, the mark first; `band` is [2, N], NaN where none is.
  """

  name: str
  style: str
  x: np.ndarray
  y: np.ndarray
  band: np.ndarray | None = None

  @property
  def mark(self) -> str:
    """What the curve is drawn with."""
    return self.style.partition(" ")[0]


def prepare(
  one: Series, x: np.ndarray, y: np.ndarray, max_points: int
) -> list[Drawn]:
  """The curve as it is drawn; its mean over it if it has a window."""
  style = f"{one.mark} {one.tint}".strip()
  if one.window > 1:
    faint = f"faint {one.tint}".strip()
    mean = running_mean(y, one.window)
    name = f"{one.name}, mean of {one.window}"
    return [
      Drawn(one.name, faint, *thin(x, y, max_points)),
      Drawn(name, style, *thin(x, mean, max_points)),
    ]
  kept_x, kept_y = thin(x, y, max_points)
  band = None
  if one.low is not None and one.high is not None:
    band = np.array([one.low, one.high], float)[:, np.isin(x, kept_x)]
    good = (np.abs(band) < LARGEST).all(axis=0) & np.isfinite(kept_y)
    band = np.where(good, band, np.nan) if good.any() else None
  return [Drawn(one.name, style, kept_x, kept_y, band)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
  """The mean over a centred window, of what is finite in it.

  Args:
    values: [N] values.
    window: Odd number of values; at the ends only those that exist count.

  Returns:
    [N] means; NaN where `values` is not finite.
  """
  finite = np.isfinite(values)
  ones = np.ones(window)
  # Cumulative sums would be faster, but one huge value would blur all later
  # means.
  sums = np.convolve(np.where(finite, values, 0.0), ones)
  counts = np.convolve(finite.astype(float), ones)
  inside = slice(window // 2, window // 2 + len(values))
  means = sums[inside] / np.maximum(counts[inside], 1.0)
  return np.where(finite, means, np.nan)


def thin(
  x: np.ndarray, y: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
  """At most `limit` points of a curve, with its extremes and its gaps.

  The curve is cut into equal runs of points; of each run the lowest, the
  highest and the first that is not finite are kept, and both ends.

  Args:
    x: [N] positions.
    y: [N] values.
    limit: Most points to return, at least 5.

  Returns:
    The kept [M] positions and values, M <= `limit`, in their order.
  """
  if len(x) <= limit:
    return x, y
  finite = np.isfinite(y)
  runs = (limit - 2) // (2 if finite.all() else 3)
  keep = {0, len(x) - 1}
  for run in np.array_split(np.arange(len(x)), runs):
    good = run[finite[run]]
    if good.size:
      keep.update((good[y[good].argmin()], good[y[good].argmax()]))
    if good.size < run.size:
      keep.add(run[~finite[run]][0])
  kept = np.array(sorted(keep))
  return x[kept], y[kept]


def in_words(one: Drawn, x_label: str) -> str:
  """The curve for someone who cannot see it: both its ends."""
  good = np.flatnonzero(np.isfinite(one.y))
  ends = [good[0]] if len(good) == 1 else [good[0], good[-1]]
  told = []
  for i in ends:
    interval = ""
    if one.band is not None and np.isfinite(one.band[:, i]).all():
      interval = f" ({one.band[0, i]:.4g} to {one.band[1, i]:.4g})"
    told.append(f"{one.y[i]:.4g}{interval} at {x_label} {one.x[i]:.10g}")
  return f"{one.name}: {', '.join(told)}"


def points(one: Drawn) -> list[list[float]]:
  """The finite points and their intervals, to six significant digits."""
  found = []
  for i, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
    if math.isfinite(y):
      values = [y]
      if one.band is not None and np.isfinite(one.band[:, i]).all():
        values += one.band[:, i].tolist()
      place = int(x) if x == int(x) else float(x)
      found.append([place, *(float(f"{value:.6g}") for value in values)])
  return found
