# SPDX-License-Identifier: Apache-2.0
"""A run's metrics drawn as the charts of its report."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from ramjax.tools import (
  curves,
  report_calibration,
  report_metrics,
  report_points,
  report_text,
)
from ramjax.tools.report_metrics import Chart, Line
from ramjax.tools.report_run import Curve

# A curve of more points is noise to the eye: its running mean is drawn over it.
_SMOOTH_FROM = 60
_MOST_OTHERS = 16
_MOST_TOGETHER = 4

_WEIGHTS_CHANGED = "train/weights_changed"


class Charts(NamedTuple):
  """HTML figures by their place on the page.

  Attributes:
    first: At most two, what one looks at first.
    of_answers: What compares answers: rewards, log-probabilities.
    more: The rest.
    left_out: How many metrics have no chart.
  """

  first: list[str]
  of_answers: list[str]
  more: list[str]
  left_out: int


def charts(metrics: dict[str, Curve], *, algorithm: object = None) -> Charts:
  """A chart for everything that was measured over the run.

  Args:
    metrics: Metric name to its curve.
    algorithm: Of the run's config, for the unit of its loss.

  Returns:
    The known metrics in a fixed order, then the others by name, train and eval
    together, at most 16 of these.
  """
  known = report_metrics.known(report_metrics.loss_unit(algorithm, metrics))
  drawn = [(chart, _draw(chart, metrics)) for chart in known]
  drawn = [(chart, figure) for chart, figure in drawn if figure]
  rest = drawn[2:]
  more = [figure for chart, figure in rest if not chart.of_answers]
  others: dict[str, list[str]] = {}
  for key in sorted(metrics):
    if not _has_its_place(key, known):
      others.setdefault(key.partition("/")[2] or key, []).append(key)
  left_out = sum(map(len, others.values()))
  for name, keys in sorted(others.items())[:_MOST_OTHERS]:
    lines = tuple(
      Line(key, key, "dots" if key.startswith("eval/") else "line")
      for key in keys[:_MOST_TOGETHER]
    )
    left_out -= len(lines)
    more.append(_draw(Chart(name.replace("_", " "), "", lines), metrics))
  return Charts(
    first=[figure for _, figure in drawn[:2]],
    of_answers=[figure for chart, figure in rest if chart.of_answers],
    more=more,
    left_out=left_out,
  )


def verified_chart(metrics: dict[str, Curve]) -> str:
  """The share of verified answers over the run; "" without two evaluations."""
  verified = report_metrics.VERIFIED
  if verified not in metrics or len(metrics[verified].steps) < 2:
    return ""
  chart = Chart(
    "Verified accuracy",
    "share of held-out answers checked as right",
    (
      Line(report_metrics.SAMPLED_VERIFIED, "all kinds, sampled", "dots"),
      Line(verified, "all kinds, greedy", "dots", tint="chosen"),
    ),
    zero=True,
    percent=True,
  )
  return _draw(chart, metrics)


def _has_its_place(key: str, known: tuple[Chart, ...]) -> bool:
  """Whether a metric is a key figure, in a table, or in a chart of its own."""
  lines = [line for chart in known for line in chart.lines]
  return (
    key in ("train/tokens", "train/supervised_tokens")
    or key in (report_metrics.VERIFIED, report_metrics.SAMPLED_VERIFIED)
    or key.startswith(f"{report_metrics.VERIFIED}/")
    or key.startswith(f"{report_metrics.SAMPLED_VERIFIED}/")
    or key.startswith(f"{report_metrics.PAIR_ACCURACY}/")
    or report_calibration.is_part(key)
    or any(key in (line.key, line.low, line.high) for line in lines)
  )


def window(chart: Chart, curve: Curve) -> int:
  """Over how many points a noisy curve's running mean is; 1 for none."""
  if not chart.noisy or len(curve.steps) < _SMOOTH_FROM:
    return 1
  return min(max(len(curve.steps) // 40, 3), 301) | 1


def needs_log(chart: Chart, values: Iterable[float]) -> bool:
  """Whether values are so far apart that the chart's axis is logarithmic."""
  drawable = [v for v in values if math.isfinite(v)]
  return (
    bool(drawable)
    and min(drawable) > 0
    and max(drawable) / min(drawable) >= chart.log_from
  )


def _draw(chart: Chart, metrics: dict[str, Curve]) -> str:
  """The chart as HTML; "" if none of its own metrics was logged."""
  series, drawable, axis = [], [], "step"
  for line in chart.lines:
    if line.key not in metrics:
      continue
    curve = metrics[line.key]
    smooth = line.mark == "line" or (line.mark == "dashes" and line.tint)
    width = window(chart, curve) if smooth else 1
    series.append(_series(line, metrics, width))
    drawable += curve.values
    axis = curve.axis
  if not any(one.mark != "rule" for one in series):
    return ""
  use_log = needs_log(chart, drawable)
  units = [chart.unit] * bool(chart.unit) + ["log scale"] * use_log
  return curves.line_chart(
    series,
    title=report_text.visible(chart.title, 60),
    x_label=axis,
    y_label=", ".join(units),
    y_log=use_log,
    y_zero=chart.zero,
    y_percent=chart.percent,
    y_noise=chart.noise,
    note=_reading(chart, metrics),
  )


def _series(
  line: Line, metrics: dict[str, Curve], width: int
) -> report_points.Series:
  """The curve of a metric, and its interval if both ends were logged."""
  curve = metrics[line.key]
  name = report_text.visible(line.name, 60)
  ends: list[list[float] | None] = [None, None]
  if line.low in metrics and line.high in metrics:
    name += " with its 95% interval"
    for i, key in enumerate((line.low, line.high)):
      found = dict(zip(metrics[key].steps, metrics[key].values, strict=True))
      ends[i] = [found.get(step, math.nan) for step in curve.steps]
  return report_points.Series(
    name,
    curve.steps,
    curve.values,
    line.mark,
    width,
    tint=line.tint,
    low=ends[0],
    high=ends[1],
  )


def _reading(chart: Chart, metrics: dict[str, Curve]) -> str:
  """What to read from the chart, where that is not plain."""
  if chart.lines[0].key != _WEIGHTS_CHANGED:
    return ""
  share = metrics[_WEIGHTS_CHANGED].values[-1]
  if not math.isfinite(share):
    return ""
  return (
    f"The last updates each changed {report_text.percent(share)} of the"
    " weights; the rest moved by less than bfloat16 can tell."
  )
