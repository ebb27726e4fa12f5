# SPDX-License-Identifier: Apache-2.0
"""Runs compared: final figures, curves over each other, configs, samples."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ramjax.tools import (
  curves,
  report_charts,
  report_metrics,
  report_points,
  report_tables,
  report_text,
  report_verdict_samples,
)
from ramjax.tools.report_metrics import Chart, Line
from ramjax.tools.report_run import Run
from ramjax.tools.report_sides import Side
from ramjax.tools.report_verdict_samples import Answer

_MOST_CHARTS = 24
_MOST_KEYS = 200
_MISSING = object()

_VERIFIED = Chart(
  "Verified accuracy",
  "share of held-out answers checked as right",
  (
    Line(report_metrics.SAMPLED_VERIFIED, "sampled", "dots"),
    Line(report_metrics.VERIFIED, "greedy", "dots"),
  ),
  zero=True,
  percent=True,
)


class _Metric(NamedTuple):
  """A metric that a run has, and the chart that it is known from."""

  title: str
  chart: Chart
  line: Line


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table with a column for each side.

  Args:
    heads: Names of the sides, any text.
    rows: A title and a cell for each side, as HTML.
  """
  names = "".join(
    f'<th scope="col"><i class="swatch s{i}"></i>'
    f" {report_text.escaped(name, 60)}</th>"
    for i, name in enumerate(heads)
  )
  body = "".join(
    f'<tr><th scope="row">{row[0]}</th>'
    + "".join(f"<td>{cell}</td>" for cell in row[1:])
    + "</tr>"
    for row in rows
  )
  return (
    '<div class="scroll"><table class="evals compared"><thead><tr>'
    f"<th></th>{names}</tr></thead><tbody>{body}</tbody></table></div>"
  )


def final_figures(sides: Sequence[Side]) -> str:
  """What each run came to at its end, as a table; "" without a metric."""
  rows = []
  for title, chart, line in _metrics(sides):
    if line.key.startswith("eval/") or line.key == "train/loss":
      cells = [_final(side.run, chart, line) for side in sides]
      rows.append([report_text.escaped(title, 120), *cells])
  if not rows:
    return ""
  steps = [_steps(side.run) if side.run else _dash() for side in sides]
  shown = table([side.name for side in sides], [*rows, ["Steps", *steps]])
  return (
    f'<div class="card tablecard">{shown}<p class="hint">The last value of each;'
    " in brackets its 95 % interval, where it was logged. Figures on other"
    " held-out rows cannot be compared.</p></div>"
  )


def _steps(run: Run) -> str:
  """How far a run came; of one in rounds with the unit, as it has no steps."""
  curves = run.curves.values()
  steps = max((curve.steps[-1] for curve in curves), default=0)
  is_round = any(curve.axis == "round" for curve in curves)
  return f"{steps:,} rounds" if is_round else f"{steps:,}"


def overlays(sides: Sequence[Side]) -> list[str]:
  """A chart for each metric, with a curve for each run that has it."""
  has_unit = bool(_loss_unit(sides))
  metrics = list(_metrics(sides))
  # What can be compared comes first.
  metrics.sort(key=lambda metric: _number_of(metric.line.key, sides) == 1)
  return [_overlay(one, sides, has_unit) for one in metrics[:_MOST_CHARTS]]


def _number_of(key: str, sides: Sequence[Side]) -> int:
  """How many runs have a metric."""
  return sum(side.run is not None and key in side.run.curves for side in sides)


def _overlay(metric: _Metric, sides: Sequence[Side], has_unit: bool) -> str:
  """The curves of one metric; of a noisy one, their running means."""
  title, chart, line = metric
  series, notes = [], []
  axes: dict[str, None] = {}
  for tint, side in zip(report_points.RUNS, sides, strict=False):
    curve = side.run and side.run.curves.get(line.key)
    if not curve:
      continue
    name = report_text.visible(side.name, 60)
    axes[curve.axis] = None
    values = curve.values
    width = 1 if line.mark == "dots" else report_charts.window(chart, curve)
    if width > 1:
      values = report_points.running_mean(np.array(values), width).tolist()
      notes.append(f"{name} is a running mean of {width} points.")
    mark: report_points.Mark = "dots" if line.mark == "dots" else "line"
    series.append(
      report_points.Series(name, curve.steps, values, mark, tint=tint)
    )
  if len(series) == 1:
    notes.append(f"Only {series[0].name} has it.")
  if chart.title == "Loss" and not has_unit:
    notes.append("The losses are of different kinds: levels do not compare.")
  use_log = report_charts.needs_log(
    chart, itertools.chain.from_iterable(one.y for one in series)
  )
  units = [chart.unit] * bool(chart.unit) + ["log scale"] * use_log
  return curves.line_chart(
    series,
    title=title,
    x_label=" or ".join(axes),
    y_label=", ".join(units),
    y_log=use_log,
    y_zero=chart.zero,
    y_percent=chart.percent,
    y_noise=chart.noise,
    note=" ".join(notes),
  )


def config_differences(sides: Sequence[Side]) -> str:
  """The keys of the configs that differ, as a table; "" without two configs."""
  flat: list[dict[str, Any] | None] = [
    dict(report_tables.flatten(side.run.config))
    if side.run is not None and side.run.config is not None
    else None
    for side in sides
  ]
  known = [config for config in flat if config is not None]
  if len(known) < 2:
    return ""
  keys = dict.fromkeys(key for config in known for key in config)
  differing = [
    key
    for key in keys
    if len({_compared(config.get(key, _MISSING)) for config in known}) > 1
  ]
  same = f"{len(keys) - len(differing):,} keys are the same in all."
  if not differing:
    return f'<div class="card tablecard"><p class="hint">{same}</p></div>'
  rows = []
  for key in differing[:_MOST_KEYS]:
    cells = [
      _dash() if config is None else _setting(config.get(key, _MISSING))
      for config in flat
    ]
    rows.append([report_text.escaped(key, 120), *cells])
  if left := len(differing) - len(rows):
    same = f"{left:,} more keys differ. {same}"
  shown = table([side.name for side in sides], rows)
  return f'<div class="card tablecard">{shown}<p class="hint">{same}</p></div>'


def samples(sides: Sequence[Side]) -> str:
  """Answers to the same held-out prompts, as HTML; "" if there are none."""
  answers = {}
  for side in sides:
    found = side.run.samples if side.run is not None else []
    answers[side.name] = {
      one.prompt: Answer(
        one.response,
        _verified(one.verified),
        None if one.verified is None else float(one.verified),
        0.5,
      )
      for one in found
      if one.step == found[-1].step
    }
  names = [side.name for side in sides]
  return report_verdict_samples.same_prompts(answers, names)


def _verified(verified: bool | None) -> str:
  return {True: "✓ verified", False: "✗ not verified", None: ""}[verified]


def _metrics(sides: Sequence[Side]) -> Iterator[_Metric]:
  """The known metrics that a run has, in the order of a run's page."""
  logged = {
    key for side in sides if side.run is not None for key in side.run.curves
  }
  for chart in (*report_metrics.known(_loss_unit(sides)), _VERIFIED):
    lines = [
      line for line in chart.lines if line.key in logged and line.mark != "rule"
    ]
    for line in lines:
      title = chart.title
      if len(chart.lines) > 1:
        title += f", {line.name}"
      yield _Metric(title, chart, line)


def _loss_unit(sides: Sequence[Side]) -> str:
  """What a loss is per; "" where the runs differ in it."""
  units = {
    report_metrics.loss_unit(
      (side.run.config or {}).get("algorithm"), side.run.curves
    )
    for side in sides
    if side.run is not None
  }
  return units.pop() if len(units) == 1 else ""


def _final(run: Run | None, chart: Chart, line: Line) -> str:
  if run is None or line.key not in run.curves:
    return _dash()

  def written(value: float) -> str:
    if not math.isfinite(value):
      return _dash()
    if chart.percent:
      return report_text.percent(value)
    return report_text.number(value)

  text = f"<b>{written(run.curves[line.key].values[-1])}</b>"
  if line.low in run.curves and line.high in run.curves:
    ends = [
      written(run.curves[end].values[-1]) for end in (line.low, line.high)
    ]
    inside = " to ".join(end.removesuffix("%") for end in ends)
    text += f" <small>({inside})</small>"
  return text


def _compared(value: Any) -> str:
  """Values that are the same have the same text: 1 and 1.0 do, 1 and true not."""
  if value is _MISSING:
    return ""
  if isinstance(value, int) and not isinstance(value, bool):
    value = float(value) if abs(value) < 2**53 else value
  return json.dumps(value, sort_keys=True)


def _setting(value: Any) -> str:
  if value is _MISSING:
    return '<span class="cut">(not there)</span>'
  text = report_text.escaped(report_tables.plain(value), 200)
  return f'<span class="config">{text}</span>'


def _dash() -> str:
  return "\N{EN DASH}"
