# SPDX-License-Identifier: Apache-2.0
"""Rows of marks on one axis: bars, or dots with their intervals.

Names and numbers stand in columns of their own beside the marks, so that no
label lies on what is drawn at any width of the window. Marks are inline SVG
placed in percent of their column.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ramjax.tools import report_text, report_ticks
from ramjax.tools.report_eval_figures import Figure

Kind = Literal["bars", "dots"]

# Height of one mark's line, as the numbers beside it have.
_LINE = 18
_MOST_NAME = 60


class Mark(NamedTuple):
  """One number of a row; `series` is what it has its colour by, from 0."""

  figure: Figure
  series: int = 0


class Row(NamedTuple):
  """A name and its marks, one below the other; `detail` is said behind it."""

  name: str
  marks: Sequence[Mark]
  detail: str = ""


def tracks(
  rows: Sequence[Row],
  *,
  title: str,
  unit: str = "",
  kind: Kind = "bars",
  legend: Mapping[int, str] | None = None,
  reference: float | None = None,
  note: str = "",
) -> str:
  """The rows as an HTML figure.

  Args:
    rows: At least one, with marks of one unit.
    title: The caption.
    unit: What the numbers are, with their unit.
    kind: How a number is drawn; an interval is drawn with either.
    legend: Names of the series by their colours, where there is more than one.
    reference: Where a dotted line is drawn, such as what chance would do.
    note: What to read from it.

  Returns:
    A `<figure class="chart tracks">`, all texts escaped.
  """
  low, high, ticks = _axis(rows, kind)
  span = high - low
  places = [100 * (tick - low) / span for tick in ticks]
  grid = "".join(
    f'<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>'
    for x in places
  )
  if reference is not None and low <= reference <= high:
    x = 100 * (reference - low) / span
    grid += f'<line class="half" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>'
  body = "".join(_row(row, kind, low, span, grid) for row in rows)
  is_percent = rows[0].marks[0].figure.unit == "%"
  labels = report_ticks.tick_labels(ticks)
  if is_percent:
    labels = [f"{label}%" for label in labels]
  axis = "".join(
    f'<text x="{x:.2f}%" y="13" class="{_anchor(i, len(places))}">{label}</text>'
    for i, (x, label) in enumerate(zip(places, labels, strict=True))
  )
  has_interval = any(m.figure.has_interval for row in rows for m in row.marks)
  style = "chart tracks intervals" if has_interval else "chart tracks"
  keys = "".join(
    f'<span class="key"><i class="swatch s{i}"></i>'
    f"{report_text.escaped(name, _MOST_NAME)}</span>"
    for i, name in (legend or {}).items()
  )
  tail = f'<p class="hint">{report_text.escaped(note, 600)}</p>' if note else ""
  return (
    f'<figure class="{style}"><figcaption><b>'
    f"{report_text.escaped(title, 120)}</b>"
    f' <span class="unit">{report_text.escaped(unit, 120)}</span></figcaption>'
    f'{keys and f"<div class=legend>{keys}</div>"}<div class="rows">{body}'
    '<div class="track-row axis-row"><span></span><svg class="track-plot"'
    f' height="16" aria-hidden="true">{axis}</svg><span></span></div></div>'
    f"{tail}</figure>"
  )


def _row(row: Row, kind: Kind, low: float, span: float, grid: str) -> str:
  marks, numbers = [], []
  for i, mark in enumerate(row.marks):
    marks.append(_mark(mark, kind, low, span, _LINE * i + _LINE / 2))
    one = mark.figure
    # Lines up with its mark.
    interval = f" <small>({one.interval})</small>" if one.interval else ""
    numbers.append(f"<span>{one.text}{interval}</span>")
  detail = ""
  if row.detail:
    detail = f"<small>{report_text.escaped(row.detail, 120)}</small>"
  name = report_text.escaped(row.name, _MOST_NAME) + detail
  return (
    f'<div class="track-row"><span class="track-name">{name}</span>'
    f'<svg class="track-plot" height="{_LINE * len(row.marks)}"'
    f' aria-hidden="true">{grid}{"".join(marks)}</svg>'
    f'<span class="track-value">{"".join(numbers)}</span></div>'
  )


def _mark(mark: Mark, kind: Kind, low: float, span: float, y: float) -> str:
  one = mark.figure
  if not math.isfinite(one.value):
    return ""

  def place(value: float) -> float:
    return min(max(100 * (value - low) / span, 0.0), 100.0)

  x = place(one.value)
  drawn = ""
  if kind == "bars":
    start = place(0.0)
    drawn += (
      f'<rect x="{min(start, x):.2f}%" width="{abs(x - start):.2f}%"'
      f' y="{y - 5:g}" height="10" rx="2"/>'
    )
  if one.has_interval:
    first, last = place(one.low), place(one.high)
    drawn += (
      f'<line class="whisker" x1="{first:.2f}%" x2="{last:.2f}%" y1="{y:g}"'
      f' y2="{y:g}"/>'
      + "".join(
        f'<line class="whisker" x1="{end:.2f}%" x2="{end:.2f}%" y1="{y - 4:g}"'
        f' y2="{y + 4:g}"/>'
        for end in (first, last)
      )
    )
  if kind == "dots":
    drawn += f'<circle cx="{x:.2f}%" cy="{y:g}" r="4.5"/>'
  return f'<g class="{kind} s{mark.series}">{drawn}</g>'


def _axis(rows: Sequence[Row], kind: Kind) -> tuple[float, float, list[float]]:
  """Both ends, and the ticks: those of the unit, or what holds the data."""
  figures = [mark.figure for row in rows for mark in row.marks]
  ends = figures[0].ends
  if ends is not None:
    low, high = ends
  else:
    values = [
      x
      for one in figures
      for x in (one.value, one.low, one.high)
      if math.isfinite(x)
    ]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if kind == "bars":
      low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-12):
      low, high = low - 1.0, high + 1.0
  ticks = report_ticks.linear_ticks(low, high, count=4)
  return ticks[0], ticks[-1], ticks


def _anchor(index: int, number: int) -> str:
  """Labels at the ends stay inside."""
  return "first" if index == 0 else "last" if index == number - 1 else "mid"
