# SPDX-License-Identifier: Apache-2.0
"""Line charts as inline SVG: numbers in, one string of HTML out.

A chart is a `<figure>` with a caption, a legend and an `<svg>`. Colours, sizes
of text and the hover read-out belong to the page that shows it; each mark is a
CSS class and also differs in stroke, so that colour is never the only cue.
"""

import html
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ramjax.tools import report_points, report_ticks
from ramjax.tools.report_points import Drawn, Series

WIDTH, HEIGHT = 480, 256
# The plot's edges, in units of the view box: room for the labels around it.
LEFT, RIGHT, TOP, BOTTOM = 52, 466, 12, 212

# An axis is not made for smaller numbers than this.
_TINY = 1e-24


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
  y_noise: float = 0.0,
  note: str = "",
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
    y_noise: Values that are all as close to zero as this are drawn as level,
      and not on an axis that magnifies rounding.
    note: What to read from the chart, below it.
    max_points: Most points drawn of each curve; see `thin`.

  Returns:
    A `<figure class="chart">`. Its `<svg>` carries the drawn points as JSON in
    `data-chart`, for a hover read-out.
  """
  drawn: list[Drawn] = []
  notes = [note] if note else []
  for one in series:
    x, y = np.asarray(one.x, float), np.asarray(one.y, float)
    good = np.abs(y) < report_points.LARGEST
    if y_log:
      good &= y > 1 / report_points.LARGEST
    if not good.all():
      notes.append(
        f"{np.sum(~good):,} of {len(y):,} values of {one.name} cannot be"
        f" drawn (NaN, infinite{' or not above 0' if y_log else ''}); the"
        f" first is at {x_label} {x[~good][0]:.10g}."
      )
    if not good.any():
      continue
    y = np.where(good, y, np.nan)
    drawn += report_points.prepare(one, x, y, max_points)
  if drawn:
    axes = _fit(drawn, y_log, y_zero, y_noise)
    # One curve needs no legend: the title names it.
    legend = len(drawn) > 1 or drawn[0].band is not None
    keys = [legend_entry(one.name, one.style) for one in drawn if legend]
    body = f'<div class="legend">{"".join(keys)}</div>' + _svg(
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


def legend_entry(name: str, style: str) -> str:
  """What a legend says of a curve, as HTML.

  Args:
    name: Any text.
    style: CSS class of the curve, its mark first: "dots" or "dots chosen".
  """
  dot = '<circle cx="12" cy="5" r="3"/>' if style.startswith("dots") else ""
  return (
    f'<span class="key"><svg class="{style}" viewBox="0 0 24 10">'
    f'<path d="M1 5H23"/>{dot}</svg>{html.escape(name)}</span>'
  )


def _svg(
  drawn: list[Drawn],
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
  parts += [_band(axes, one) for one in drawn]
  parts += [_curve(axes, one) for one in drawn]
  data = {
    "x": axes.x_range,
    "plot": (LEFT, RIGHT, TOP, BOTTOM),
    "label": x_label,
    "percent": y_percent,
    "curves": [
      {"name": d.name, "points": report_points.points(d)} for d in drawn
    ],
  }
  packed = html.escape(json.dumps(data, separators=(",", ":")))
  told = ". ".join(report_points.in_words(one, x_label) for one in drawn)
  return (
    f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    f' aria-label="{html.escape(f"{title}. {told}.")}"'
    f' data-chart="{packed}">{"".join(parts)}</svg>'
  )


def _fit(
  drawn: list[Drawn], y_log: bool, y_zero: bool, y_noise: float
) -> _Axes:
  """Axes that hold every drawn point."""
  xs = np.concatenate([one.x for one in drawn])
  ys = np.concatenate([one.y for one in drawn])
  bands = [one.band.ravel() for one in drawn if one.band is not None]
  ys = np.concatenate([ys, *bands])
  ys = ys[np.isfinite(ys)]
  x_low, x_high = _apart(float(xs.min()), float(xs.max()), by=0.5, least=1e-12)
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
    if max(abs(low), abs(high)) <= max(y_noise, _TINY):
      # No scale is known; a share's is 100%.
      low, high = (0.0, 1.0) if y_zero else (-1.0, 1.0)
    low, high = _apart(low, high, by=abs(low) / 10, least=1e-6)
    y_ticks = report_ticks.linear_ticks(low, high)
  x_ticks = report_ticks.linear_ticks(x_low, x_high, whole=True)
  x_ticks = [tick for tick in x_ticks if x_low <= tick <= x_high]
  y_range = (y_ticks[0], y_ticks[-1])
  return _Axes((x_low, x_high), y_range, y_log, x_ticks, y_ticks)


def _apart(
  low: float, high: float, *, by: float, least: float
) -> tuple[float, float]:
  """The range, widened by `by` on both sides if it is but one value.

  So it is if its width is at most `least` of the values.
  """
  if high - low <= least * max(abs(low), abs(high)):
    return low - by, high + by
  return low, high


def _band(axes: _Axes, one: Drawn) -> str:
  """The area between the ends of the intervals: a stroke if there is but one."""
  if one.band is None:
    return ""
  good = np.isfinite(one.band).all(axis=0)
  x, (low, high) = one.x[good], one.band[:, good]
  around = [*zip(x, high, strict=True), *zip(x[::-1], low[::-1], strict=True)]
  points = (f"{axes.across(a):.1f} {axes.down(b):.1f}" for a, b in around)
  return f'<path class="band" d="M{"L".join(points)}Z"/>'


def _curve(axes: _Axes, one: Drawn) -> str:
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
  return (
    f'<g class="{one.style}"><path d="{"".join(path)}"/>{"".join(dots)}</g>'
  )
