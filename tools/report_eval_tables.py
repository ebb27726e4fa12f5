# SPDX-License-Identifier: Apache-2.0
"""The tables of an evaluation on a page: as bars, as a radar, or as they are."""

import itertools
import math
from collections.abc import Mapping, Sequence

from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools import (
  report_calibration,
  report_eval_figures,
  report_radar,
  report_text,
  report_tracks,
)
from ramjax.tools.report_eval_figures import Figure
from ramjax.tools.report_tracks import Mark, Row

CANARIES = "canaries"
# Tables of one evaluation.
MOST_TABLES = 20
# Rows of a chart and of a table, and columns of a table.
MOST_BARS, _MOST_ROWS, _MOST_COLUMNS = 60, 200, 30
_BINS = ("from", "to", "pairs", "mean confidence", "accuracy")
_CANARY_HINT = (
  "Pairs with a known verdict. Null and injected answers must lose, swapped"
  " pairs keep their winner, identical pairs tie, padded answers must not win;"
  " passed is the share that did."
)
_GRADE_HINT = (
  "No answer, or a request to the judge in its place, passes with a lower grade"
  " than the answer's or the lowest; padding passes unless it raises the grade."
)

Table = Sequence[Mapping[str, Value]]


def charts(evaluation: Evaluation) -> list[str]:
  """What can be drawn of an evaluation's tables and shares, as HTML figures."""
  drawn = [_shares(evaluation)]
  for name, rows in itertools.islice(evaluation.tables.items(), MOST_TABLES):
    if name == CANARIES or not rows:
      continue
    if bins := confidence_bins(rows):
      drawn.append(calibration(bins))
      continue
    drawn.append(_grades(rows))
    drawn.append(_bars(name, rows))
  return [figure for figure in drawn if figure]


def category_measures(rows: Table) -> list[str]:
  """Columns of a table by category, named by its first, that are a measure.

  Returns:
    Their keys, the main one first; none of another table.
  """
  if len(rows) < 2 or len(rows[0]) < 2:
    return []
  names, second = list(rows[0])[:2]
  labels = [row[names] for row in rows]
  if not all(isinstance(x, str) for x in labels) or len(set(labels)) < len(
    rows
  ):
    return []
  measures = _measures(rows)
  if report_eval_figures.figure(rows[0], second).has_interval:
    measures = [second, *(key for key in measures if key != second)]
  return measures


def by_category(rows: Table, measure: str) -> dict[str, Figure]:
  """A measure by the name of the row, which is in the first column."""
  names = next(iter(rows[0]))
  return {
    str(row[names]): report_eval_figures.figure(row, measure) for row in rows
  }


def _grades(rows: Table) -> str:
  """Grades of each turn as a radar; "" of another table."""
  if not category_measures(rows) or not report_eval_figures.is_grade(rows[0]):
    return ""
  names = next(iter(rows[0]))
  turns = [key for key in ("turn_1", "turn_2") if key in rows[0]]
  series = {
    i: (
      turn.replace("_", " "),
      [report_eval_figures.figure(row, turn).value for row in rows],
    )
    for i, turn in enumerate(turns)
  }
  return report_radar.radar(
    [str(row[names]) for row in rows],
    series,
    title="Grades by category",
    unit="mean grade, by turn",
    largest=report_eval_figures.MAX_GRADE,
  )


def confidence_bins(rows: Table) -> list[report_calibration.Bin]:
  """The bins of a table of confidence; none of another table."""
  plain = {key.partition(",")[0]: key for key in rows[0]}
  if not set(_BINS) <= set(plain):
    return []
  bins = []
  for row in rows:
    values = [row[plain[name]] for name in _BINS]
    numbers = [float(x) for x in values if isinstance(x, int | float)]
    if len(numbers) < len(_BINS):
      continue  # An empty bin has no accuracy.
    low, high, _, mean, accuracy = numbers
    bins.append(report_calibration.Bin(low, high, accuracy, mean))
  return bins


def calibration(bins: Sequence[report_calibration.Bin]) -> str:
  """The reliability diagram of an evaluation."""
  return report_calibration.chart(
    bins,
    unit="pairs named rightly, by confidence",
    dots="pairs",
    hint="Below the line the rewards promise more than they hold.",
  )


def canaries(evaluation: Evaluation) -> str:
  """How the judge did on pairs with a known verdict; "" where it was not asked."""
  rows = evaluation.tables.get(CANARIES)
  if not rows:
    return ""
  hint = _GRADE_HINT if "mean change" in rows[0] else _CANARY_HINT
  return (
    '<div class="card tablecard"><p class="caption"><b>Canaries of the judge'
    f"</b></p>{table(rows)}"
    f'<p class="hint">{hint}</p></div>'
  )


def table(rows: Table) -> str:
  """Rows under their columns, as HTML that scrolls where it is too wide."""
  if not rows:
    return '<p class="hint">It is empty.</p>'
  columns = list(rows[0])[:_MOST_COLUMNS]
  head = "".join(
    f'<th scope="col">{report_text.escaped(name, 60)}</th>' for name in columns
  )
  body = "".join(
    "<tr>" + "".join(cell(row[name]) for name in columns) + "</tr>"
    for row in rows[:_MOST_ROWS]
  )
  left = []
  if len(rows) > _MOST_ROWS:
    left.append(f"{len(rows) - _MOST_ROWS:,} more rows")
  if len(rows[0]) > _MOST_COLUMNS:
    left.append(f"{len(rows[0]) - _MOST_COLUMNS:,} more columns")
  hint = f'<p class="hint">{" and ".join(left)} are not shown.</p>'
  return (
    f'<div class="scroll"><table class="plain"><thead><tr>{head}</tr></thead>'
    f"<tbody>{body}</tbody></table></div>{hint if left else ''}"
  )


def cell(value: Value) -> str:
  """A value of a table; nothing as a dash."""
  if isinstance(value, str):
    return f"<th>{report_text.escaped(value, 200)}</th>"
  return f"<td>{number(value)}</td>"


def number(value: float | None) -> str:
  """A count whole, another number short, nothing as a dash."""
  if value is None or math.isnan(value):
    return "\N{EN DASH}"
  return f"{value:,}" if isinstance(value, int) else report_text.number(value)


def _measures(rows: Table) -> list[str]:
  """Columns that are a measure in every row."""
  keys = report_eval_figures.measures(rows[0])
  return [
    key
    for key in keys
    if all(isinstance(row[key], float | int | None) for row in rows)
    and any(isinstance(row[key], float) for row in rows)
  ]


def _shares(evaluation: Evaluation) -> str:
  """The shares among the figures, where there are some besides a win rate."""
  figures = evaluation.figures
  if report_eval_figures.win_rates(evaluation):
    return ""
  found = [
    report_eval_figures.figure(figures, key)
    for key in report_eval_figures.measures(figures)
  ]
  found = [one for one in found if one.unit == "%"]
  if len(found) < 3:
    return ""
  rows = [Row(one.title, [Mark(one)]) for one in found[:MOST_BARS]]
  return report_tracks.tracks(
    rows,
    title="Shares",
    unit=with_interval("percent", found),
    note=left_out(len(found)),
  )


def _bars(name: str, rows: Table) -> str:
  """A table of a measure by category; "" of another."""
  measures = category_measures(rows)
  if not measures:
    return ""
  names, main = next(iter(rows[0])), measures[0]
  keys = [main]
  if report_eval_figures.is_grade(rows[0]) and "turn_2" in rows[0]:
    keys = ["turn_1", "turn_2"]
  elif not report_eval_figures.figure(rows[0], main).has_interval:
    keys = _measures(rows)[:2]
  drawn = []
  for row in rows[:MOST_BARS]:
    marks = [
      Mark(report_eval_figures.figure(row, key), i)
      for i, key in enumerate(keys)
    ]
    drawn.append(Row(str(row[names]), marks, _detail(row, names)))
  shown = [mark.figure for row in drawn for mark in row.marks]
  labels = [shown[i].title for i in range(len(keys))]
  unit = shown[0].unit.replace("%", "percent")
  return report_tracks.tracks(
    drawn,
    title=name[:1].upper() + name[1:],
    unit=with_interval(", ".join(filter(None, [labels[0], unit])), shown)
    if len(keys) == 1
    else unit,
    kind="bars" if shown[0].unit else "dots",
    legend=dict(enumerate(labels)) if len(keys) > 1 else None,
    note=left_out(len(rows)),
  )


def _detail(row: Mapping[str, Value], names: str) -> str:
  """What else a row is: the part of the benchmark that it belongs to."""
  texts = [x for key, x in row.items() if key != names and isinstance(x, str)]
  return texts[0] if texts else ""


def with_interval(unit: str, figures: Sequence[Figure]) -> str:
  """A unit in words, and whether there are intervals."""
  if any(one.has_interval for one in figures):
    return f"{unit}, with 95 % intervals"
  return unit


def left_out(number_of_rows: int) -> str:
  """What is said where not all rows are drawn."""
  if number_of_rows <= MOST_BARS:
    return ""
  return f"The first {MOST_BARS} of {number_of_rows:,} are drawn."
