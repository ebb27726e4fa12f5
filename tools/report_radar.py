# SPDX-License-Identifier: Apache-2.0
"""A radar: categories on spokes, a polygon for each series."""

import html
import math
from collections.abc import Mapping, Sequence

from ramjax.tools import report_text

WIDTH, HEIGHT = 480, 330
CENTRE = (240.0, 165.0)
RADIUS = 125.0
# Fewer spokes span no area, and the names of more would touch.
LEAST, MOST = 3, 16
_MOST_NAME = 14
_RINGS = 5


def radar(
  categories: Sequence[str],
  series: Mapping[int, tuple[str, Sequence[float]]],
  *,
  title: str,
  unit: str,
  largest: float,
) -> str:
  """The polygons as an HTML figure.

  Args:
    categories: Names of the spokes, clockwise from the top.
    series: By its colour, a name and values, one a category, from 0 to
      `largest`. A value that is not finite has no corner.
    title: The caption.
    unit: What the values are.
    largest: What the outer ring stands for.

  Returns:
    A `<figure>`, all texts escaped; "" with too few categories or too many.
  """
  if not LEAST <= len(categories) <= MOST:
    return ""
  spokes = len(categories)
  rings = "".join(
    f'<path class="grid" d="M{_path([step / _RINGS] * spokes)}Z"/>'
    for step in range(1, _RINGS + 1)
  )
  rings += "".join(
    f'<path class="grid" d="M{CENTRE[0]:g} {CENTRE[1]:g}L{_at(i, spokes, 1.0)}"/>'
    for i in range(spokes)
  )
  names = "".join(_name(name, i, spokes) for i, name in enumerate(categories))
  shapes, keys, told, missing = [], [], [], []
  for number, (name, values) in series.items():
    corners = [
      (i, min(max(value / largest, 0.0), 1.0))
      for i, value in enumerate(values)
      if math.isfinite(value)
    ]
    if len(corners) < spokes:
      missing.append(
        f"{name} has no figure in {spokes - len(corners)} of {spokes}."
      )
    points = [_at(i, spokes, share) for i, share in corners]
    dots = "".join(
      f'<circle cx="{x}" cy="{y}" r="3"/>'
      for x, y in (point.split(" ") for point in points)
    )
    outline = f'<path d="M{"L".join(points)}Z"/>' if points else ""
    shapes.append(f'<g class="area s{number}">{outline}{dots}</g>')
    shown = report_text.escaped(name, 60)
    keys.append(
      f'<span class="key"><i class="swatch s{number}"></i>{shown}</span>'
    )
    spoken = ", ".join(
      f"{category} {report_text.number(value, 3)}"
      for category, value in zip(categories, values, strict=True)
    )
    told.append(f"{name}: {spoken}")
  step = largest / _RINGS
  hint = f"A ring every {step:g}; the outer one is {largest:g}."
  hint = " ".join([hint, *missing])
  label = html.escape(report_text.visible(". ".join([title, *told]), 4000))
  return (
    f'<figure class="chart"><figcaption><b>{report_text.escaped(title, 120)}'
    f'</b> <span class="unit">{report_text.escaped(unit, 80)}</span>'
    f'</figcaption><div class="legend">{"".join(keys)}</div>'
    f'<svg class="plot radar" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    f' aria-label="{label}">{rings}{"".join(shapes)}{names}</svg>'
    f'<p class="hint">{report_text.escaped(hint, 600)}</p></figure>'
  )


def _angle(index: int, spokes: int) -> float:
  return 2 * math.pi * index / spokes


def _at(index: int, spokes: int, share: float) -> str:
  """A point on a spoke as "x y"; share 1 is the outer ring."""
  angle = _angle(index, spokes)
  x = CENTRE[0] + RADIUS * share * math.sin(angle)
  y = CENTRE[1] - RADIUS * share * math.cos(angle)
  return f"{x:.1f} {y:.1f}"


def _path(shares: Sequence[float]) -> str:
  return "L".join(_at(i, len(shares), share) for i, share in enumerate(shares))


def _name(name: str, index: int, spokes: int) -> str:
  """A category outside the outer ring, on its own side of it."""
  angle = _angle(index, spokes)
  across, down = math.sin(angle), -math.cos(angle)
  x = CENTRE[0] + (RADIUS + 12) * across
  y = CENTRE[1] + (RADIUS + 14) * down + 4
  side = "mid" if abs(across) < 0.2 else "first" if across > 0 else "last"
  text = report_text.visible(name, _MOST_NAME)
  if len(name) > _MOST_NAME:
    text += "…"
  return (
    f'<text class="{side}" x="{x:.1f}" y="{y:.1f}">{html.escape(text)}</text>'
  )
