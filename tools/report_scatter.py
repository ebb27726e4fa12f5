# SPDX-License-Identifier: Apache-2.0
"""A scatter of numbered points, with the interval of each.

A number stands beside its point where it lies on nothing else; the legend says
what it is the number of.
"""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.tools import curves, report_text, report_ticks
from ramjax.tools.report_eval_figures import Figure

_BELOW_THE_AXIS = 19
# Half of a number's box, and where its middle may be beside a point.
_HALF_WIDE, _HALF_HIGH = 9.0, 9.0
# From here on a line says which point a number is of.
_FAR = 24.0
_PLACES = tuple(
  (across, down)
  for far in (16.0, 26.0, 38.0, 52.0)
  for across, down in (
    *((far, 0.0), (-far, 0.0), (far, -10.0), (-far, -10.0)),
    *((far, -far), (-far, -far)),
    *((far, far), (-far, far), (0.0, -far), (0.0, far)),
  )
)


class Point(NamedTuple):
  """A point; `series` is its colour, from 0."""

  name: str
  x: float
  y: Figure
  series: int = 0


class _Box(NamedTuple):
  """What is drawn: left, top, right and bottom."""

  left: float
  top: float
  right: float
  bottom: float

  def meets(self, other: "_Box") -> bool:
    return (
      self.left < other.right
      and other.left < self.right
      and self.top < other.bottom
      and other.top < self.bottom
    )


def lengths(points: Sequence[Point]) -> str:
  """Win rates by the length of the answers; "" of less than two."""
  return scatter(
    points,
    title="Length and win rate",
    unit="win rate, with 95 % intervals",
    x_label="average length of the answers, characters",
    note="Judges prefer long answers: a win rate that only grows with the length"
    " is a warning.",
  )


def scatter(
  points: Sequence[Point], *, title: str, unit: str, x_label: str, note: str
) -> str:
  """The points as an HTML figure.

  Args:
    points: Those with a value that is not finite are left out; all have `y` in
      percent, and the axis ends above the highest.
    title: The caption.
    unit: Of `y`.
    x_label: What the horizontal axis is, with its unit.
    note: What to read from it.

  Returns:
    A `<figure>`, all texts escaped; "" of less than two points.
  """
  points = [
    one for one in points if math.isfinite(one.x) and math.isfinite(one.y.value)
  ]
  if len(points) < 2:
    return ""
  x_ticks = report_ticks.linear_ticks(
    0.0, max(max(one.x for one in points), 1.0), whole=True
  )
  tops = [x for one in points for x in (one.y.value, one.y.high)]
  y_ticks = report_ticks.linear_ticks(
    0.0, max(1.0, *filter(math.isfinite, tops))
  )
  top = y_ticks[-1]
  at = [
    (
      curves.LEFT + (curves.RIGHT - curves.LEFT) * one.x / x_ticks[-1],
      _down(one.y.value, top),
    )
    for one in points
  ]
  taken = [_Box(x - 5, y - 5, x + 5, y + 5) for x, y in at]
  for (x, _), one in zip(at, points, strict=True):
    if one.y.has_interval:
      high, low = _down(one.y.high, top), _down(one.y.low, top)
      taken.append(_Box(x - 3, high, x + 3, low))
  parts = [_axes(x_ticks, y_ticks, x_label)]
  keys, told = [], []
  for number, ((x, y), one) in enumerate(zip(at, points, strict=True), 1):
    box = _free(x, y, taken)
    taken.append(box)
    parts.append(_point(x, y, one, top) + _number(x, y, box, number))
    text = f"{one.name}: {one.x:,.0f}, {one.y.text}"
    keys.append(
      f'<span class="key"><b class="ink s{one.series}">{number}</b>'
      f"{report_text.escaped(text, 120)}</span>"
    )
    told.append(report_text.visible(text, 120))
  label = html.escape(f"{title}. {'. '.join(told)}.")
  return (
    f'<figure class="chart"><figcaption><b>{html.escape(title)}</b>'
    f' <span class="unit">{html.escape(unit)}</span></figcaption>'
    f'<div class="legend">{"".join(keys)}</div>'
    f'<svg class="plot" viewBox="0 0 {curves.WIDTH} {curves.HEIGHT}"'
    f' role="img" aria-label="{label}">{"".join(parts)}</svg>'
    f'<p class="hint">{html.escape(note)}</p></figure>'
  )


def _down(percent: float, top: float) -> float:
  return curves.BOTTOM - (curves.BOTTOM - curves.TOP) * percent / top


def _axes(
  x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str
) -> str:
  left, right, bottom = curves.LEFT, curves.RIGHT, curves.BOTTOM
  parts = []
  labels = report_ticks.tick_labels(y_ticks)
  for tick, label in zip(y_ticks, labels, strict=True):
    y = _down(tick, y_ticks[-1])
    parts.append(
      f'<path class="grid" d="M{left} {y:.1f}H{right}"/><text class="y"'
      f' x="{left - 8}" y="{y + 4:.1f}">{label}%</text>'
    )
  labels = report_ticks.tick_labels(x_ticks)
  for tick, label in zip(x_ticks, labels, strict=True):
    x = left + (right - left) * tick / x_ticks[-1]
    parts.append(
      f'<path class="tick" d="M{x:.1f} {bottom}v4"/><text class="x"'
      f' x="{x:.1f}" y="{bottom + _BELOW_THE_AXIS}">{label}</text>'
    )
  return (
    f'{"".join(parts)}<path class="axis" d="M{left} {bottom}H{right}"/>'
    f'<text class="x name" x="{(left + right) / 2:g}" y="{curves.HEIGHT - 6}">'
    f"{html.escape(x_label)}</text>"
  )


def _point(x: float, y: float, one: Point, top: float) -> str:
  whisker = ""
  if one.y.has_interval:
    whisker = (
      f'<path class="whisker" d="M{x:.1f} {_down(one.y.high, top):.1f}'
      f'V{_down(one.y.low, top):.1f}"/>'
    )
  return (
    f'<g class="dots s{one.series}">{whisker}<circle cx="{x:.1f}" cy="{y:.1f}"'
    ' r="4"/></g>'
  )


def _number(x: float, y: float, box: _Box, number: int) -> str:
  """The number of a point in its box, and a line to it from far away."""
  across, down = (box.left + box.right) / 2, (box.top + box.bottom) / 2
  leader = ""
  distance = math.hypot(across - x, down - y)
  if distance > _FAR:
    # From the edge of the point to that of the number.
    share = 6 / distance, 1 - 9 / distance
    ends = [(x + t * (across - x), y + t * (down - y)) for t in share]
    leader = (
      f'<path class="leader" d="M{ends[0][0]:.1f} {ends[0][1]:.1f}'
      f'L{ends[1][0]:.1f} {ends[1][1]:.1f}"/>'
    )
  return (
    f'{leader}<text class="value mid" x="{across:.1f}" y="{down + 4:.1f}">'
    f"{number}</text>"
  )


def _free(x: float, y: float, taken: Sequence[_Box]) -> _Box:
  """A number's box beside a point, on nothing else where there is room."""
  boxes = [
    _Box(
      x + across - _HALF_WIDE,
      y + down - _HALF_HIGH,
      x + across + _HALF_WIDE,
      y + down + _HALF_HIGH,
    )
    for across, down in _PLACES
  ]
  inside = [
    box
    for box in boxes
    if curves.LEFT < box.left
    and box.right < curves.WIDTH
    and 0 < box.top
    and box.bottom < curves.BOTTOM
  ]
  for box in inside:
    if not any(box.meets(other) for other in taken):
      return box
  return inside[0] if inside else boxes[0]
