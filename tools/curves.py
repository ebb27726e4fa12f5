# SPDX-License-Identifier: Apache-2.0
"""Line charts as inline SVG: numbers in, one string of HTML out.

A chart is a `<figure>` with a caption, a legend and an `<svg>`. Colours, sizes
of text and the hover read-out belong to the page that shows it; each mark is a
CSS class and also differs in stroke, so that colour is never the only cue.
"""

import dataclasses
import html
import json
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ramjax.tools import report_ticks

WIDTH, HEIGHT = 480, 256
# The plot's edges, in units of the view box: room for the labels around it.
LEFT, RIGHT, TOP, BOTTOM = 52, 466, 12, 212

# Beyond this a number is drawn as a gap: spans of such axes overflow a float.
_LARGEST = 1e100

Mark = Literal["line", "dots", "dashes", "rule"]


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
  """

  name: str
  x: Sequence[float]
  y: Sequence[float]
  mark: Mark = "line"
  window: int = 1


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


class _Drawn(NamedTuple):
  """A curve as it is drawn: thinned, gaps are NaN, at least one is not."""

  name: str
  mark: str
  x: np.ndarray
  y: np.ndarray


class _Axes(NamedTuple):
  """The ranges of both axes, and their ticks."""

  x_range: tuple[float, float]
  y_range: tuple[float, float]
  y_log: bool
  x_ticks: list[float]
  y_ticks: list[float]

  def across(self, x: float) -> float:
    low, high = self.x_range
    return LEFT + (RIGHT - LEFT) * (x - low) / (high - low)

  def down(self, y: float) -> float:
    low, high = self.y_range
    if self.y_log:
      low, high, y = math.log10(low), math.log10(high), math.log10(y)
    return BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low)


def line_chart(
  series: Sequence[Series],
  *,
  title: str,
  x_label: str,
  y_label: str = "",
  y_log: bool = False,
  y_zero: bool = False,
  y_percent: bool = False,
  max_points: int = 600,
) -> str:
  """A chart of some curves over counted steps, as HTML that stands alone.

  All texts are escaped here. Values that cannot be drawn (not finite, beyond
  1e100, or not positive on a log axis) leave a gap, and a note counts them.

  Args:
    series: The curves, drawn in this order. May be empty.
    title: The caption.
    x_label: What the horizontal axis counts, also used in the notes.
    y_label: What the values are, with the unit.
    y_log: Whether the vertical axis is logarithmic.
    y_zero: Whether a linear vertical axis has to include zero.
    y_percent: Whether the values are shares to be labelled in percent.
    max_points: Most points drawn of each curve; see `thin`.

  Returns:
    A `<figure class="chart">`. Its `<svg>` carries the drawn points as JSON in
    `data-chart`, for a hover read-out.
  """
  drawn: list[_Drawn] = []
  notes = []
  for one in series:
    x, y = np.asarray(one.x, float), np.asarray(one.y, float)
    good = np.abs(y) < _LARGEST
    if y_log:
      good &= y > 1 / _LARGEST
    if not good.all():
      notes.append(
        f"{np.sum(~good):,} of {len(y):,} values of {one.name} cannot be"
        f" drawn (NaN, infinite{' or not above 0' if y_log else ''}); the"
        f" first is at {x_label} {x[~good][0]:.10g}."
      )
    if not good.any():
      continue
    y = np.where(good, y, np.nan)
    if one.window > 1:
      drawn.append(_Drawn(one.name, "faint", *thin(x, y, max_points)))
      name = f"{one.name}, mean of {one.window}"
      y = running_mean(y, one.window)
    else:
      name = one.name
    drawn.append(_Drawn(name, one.mark, *thin(x, y, max_points)))
  if drawn:
    axes = _fit(drawn, y_log, y_zero)
    # One curve needs no legend: the title names it.
    keys = "".join(map(_legend_entry, drawn)) if len(drawn) > 1 else ""
    body = f'<div class="legend">{keys}</div>' + _svg(
      drawn, axes, title=title, x_label=x_label, y_percent=y_percent
    )
  else:
    body = '<p class="hint">There is nothing to draw.</p>'
  unit = f' <span class="unit">{html.escape(y_label)}</span>' if y_label else ""
  tail = "".join(f'<p class="hint">{html.escape(note)}</p>' for note in notes)
  return (
    f'<figure class="chart"><figcaption><b>{html.escape(title)}</b>{unit}'
    f"</figcaption>{body}{tail}</figure>"
  )


def _legend_entry(one: _Drawn) -> str:
  dot = '<circle cx="12" cy="5" r="3"/>' if one.mark == "dots" else ""
  return (
    f'<span class="key"><svg class="{one.mark}" viewBox="0 0 24 10">'
    f'<path d="M1 5H23"/>{dot}</svg>{html.escape(one.name)}</span>'
  )


def _svg(
  drawn: list[_Drawn],
  axes: _Axes,
  *,
  title: str,
  x_label: str,
  y_percent: bool,
) -> str:
  """The picture: grid, tick labels, curves, and their points as data."""
  parts = []
  labels = report_ticks.tick_labels(axes.y_ticks, percent=y_percent)
  if axes.y_log:
    # Decades share no unit: 1 and 10k, not 0.001k and 10k.
    labels = [report_ticks.tick_labels([tick])[0] for tick in axes.y_ticks]
  for tick, label in zip(axes.y_ticks, labels, strict=True):
    y = axes.down(tick)
    parts.append(
      f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/><text class="y"'
      f' x="{LEFT - 8}" y="{y + 4:.1f}">{label}</text>'
    )
  labels = report_ticks.tick_labels(axes.x_ticks)
  for tick, label in zip(axes.x_ticks, labels, strict=True):
    x = axes.across(tick)
    parts.append(
      f'<path class="tick" d="M{x:.1f} {BOTTOM}v4"/><text class="x"'
      f' x="{x:.1f}" y="{BOTTOM + 19}">{label}</text>'
    )
  parts.append(
    f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/><text class="x name"'
    f' x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 6}">{html.escape(x_label)}'
    "</text>"
  )
  parts += [_curve(axes, one) for one in drawn]
  data = {
    "x": axes.x_range,
    "plot": (LEFT, RIGHT, TOP, BOTTOM),
    "label": x_label,
    "percent": y_percent,
    "curves": [{"name": d.name, "points": _points(d)} for d in drawn],
  }
  packed = html.escape(json.dumps(data, separators=(",", ":")))
  told = ". ".join(_in_words(one, x_label) for one in drawn)
  return (
    f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    f' aria-label="{html.escape(f"{title}. {told}.")}"'
    f' data-chart="{packed}">{"".join(parts)}</svg>'
  )


def _fit(drawn: list[_Drawn], y_log: bool, y_zero: bool) -> _Axes:
  """Axes that hold every drawn point."""
  xs = np.concatenate([one.x for one in drawn])
  ys = np.concatenate([one.y[np.isfinite(one.y)] for one in drawn])
  x_low, x_high = _apart(float(xs.min()), float(xs.max()), by=0.5)
  if 0 < x_low < 0.05 * x_high:
    x_low = 0.0  # The first line of a log is not at step 0.
  low, high = float(ys.min()), float(ys.max())
  if y_log:
    if high / low < 1 + 1e-9:
      low, high = low / 2, high * 2
    y_ticks = report_ticks.log_ticks(low, high)
  else:
    if y_zero:
      low, high = min(low, 0.0), max(high, 0.0)
    low, high = _apart(low, high, by=max(abs(low) / 10, 1e-9))
    y_ticks = report_ticks.linear_ticks(low, high)
  x_ticks = report_ticks.linear_ticks(x_low, x_high, whole=True)
  x_ticks = [tick for tick in x_ticks if x_low <= tick <= x_high]
  y_range = (y_ticks[0], y_ticks[-1])
  return _Axes((x_low, x_high), y_range, y_log, x_ticks, y_ticks)


def _apart(low: float, high: float, by: float) -> tuple[float, float]:
  """The range, widened by `by` on both sides if it is but one value."""
  if high - low <= 1e-12 * max(abs(low), abs(high), 1e-12):
    return low - by, high + by
  return low, high


def _curve(axes: _Axes, one: _Drawn) -> str:
  """One curve's path, broken at the gaps, and its dots."""
  if one.mark == "rule":
    level = axes.down(float(one.y[np.isfinite(one.y)][-1]))
    return f'<g class="rule"><path d="M{LEFT} {level:.1f}H{RIGHT}"/></g>'
  path, dots, pen_up = [], [], True
  alone = int(np.isfinite(one.y).sum()) == 1
  for a, b in zip(one.x, one.y, strict=True):
    if not math.isfinite(b):
      pen_up = True
      continue
    x, y = f"{axes.across(a):.1f}", f"{axes.down(b):.1f}"
    # "h0" gives a point between two gaps a length of nothing: a round cap.
    path.append(f"M{x} {y}h0" if pen_up else f"L{x} {y}")
    pen_up = False
    if one.mark == "dots" or alone:
      dots.append(f'<circle cx="{x}" cy="{y}" r="3.2"/>')
  return f'<g class="{one.mark}"><path d="{"".join(path)}"/>{"".join(dots)}</g>'


def _in_words(one: _Drawn, x_label: str) -> str:
  """The curve for someone who cannot see it: both its ends."""
  good = np.flatnonzero(np.isfinite(one.y))
  ends = [good[0]] if len(good) == 1 else [good[0], good[-1]]
  return f"{one.name}: " + ", ".join(
    f"{one.y[i]:.4g} at {x_label} {one.x[i]:.10g}" for i in ends
  )


def _points(one: _Drawn) -> list[list[float]]:
  """The finite points, to six significant digits."""
  return [
    [int(x) if x == int(x) else float(x), float(f"{y:.6g}")]
    for x, y in zip(one.x, one.y, strict=True)
    if math.isfinite(y)
  ]
