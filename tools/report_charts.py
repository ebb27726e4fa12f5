# SPDX-License-Identifier: Apache-2.0
"""Which of a run's metrics become which charts of its report."""

import math
from typing import Any, NamedTuple

from ramjax.tools import curves, report_text
from ramjax.tools.report_run import Curve

# A curve of more points is noise to the eye: its running mean is drawn over it.
_SMOOTH_FROM = 60
_MOST_OTHERS = 16
_MOST_TOGETHER = 4

VERIFIED = "eval/verified_accuracy"
_UNIGRAM = "eval/unigram_perplexity"


class _Chart(NamedTuple):
  """A chart's caption, unit, and (metric, name in the legend, mark) curves.

  Positive values whose extremes have a ratio of `log_from` or more are drawn on
  a logarithmic axis.
  """

  title: str
  unit: str
  curves: tuple[tuple[str, str, curves.Mark], ...]
  log_from: float = math.inf
  noisy: bool = True
  axis: dict[str, bool] = {}  # noqa: RUF012


_SHARE = {"y_percent": True, "y_zero": True}

# In the order of the page; the first two that exist are its headline.
_KNOWN = (
  _Chart(
    "Loss",
    "nats per token",
    (
      ("train/loss", "train", "line"),
      ("eval/loss", "held out", "dots"),
    ),
    log_from=30.0,
  ),
  _Chart(
    "Held-out perplexity",
    "",
    (
      ("eval/perplexity", "model", "dots"),
      (_UNIGRAM, "token frequencies alone", "rule"),
    ),
    log_from=3.0,
  ),
  _Chart(
    "Token accuracy",
    "share of next tokens predicted",
    (
      ("train/accuracy", "train", "line"),
      ("eval/accuracy", "held out", "dots"),
    ),
    axis=_SHARE,
  ),
  _Chart(
    "Learning rate",
    "",
    (("train/learning_rate", "learning rate", "line"),),
    noisy=False,
    axis={"y_zero": True},
  ),
  _Chart(
    "Gradient norm",
    "before clipping",
    (("train/grad_norm", "gradient norm", "line"),),
    log_from=30.0,
  ),
  _Chart(
    "Throughput",
    "tokens per second",
    (
      ("train/tokens_per_s", "all tokens", "line"),
      ("train/supervised_tokens_per_s", "supervised tokens", "dashes"),
    ),
    axis={"y_zero": True},
  ),
  _Chart(
    "Padding",
    "share of the batch",
    (("train/padding_share", "padding", "line"),),
    axis=_SHARE,
  ),
  _Chart(
    "Time per step",
    "seconds",
    (("train/step_s", "step", "line"),),
    axis={"y_zero": True},
  ),
)

# Shown as a key figure, or in a chart of their own.
_NOT_OTHERS = frozenset(
  {"train/tokens", "train/supervised_tokens", VERIFIED}
  | {key for chart in _KNOWN for key, _, _ in chart.curves}
)


def charts(metrics: dict[str, Curve]) -> tuple[list[str], int]:
  """A chart for everything that was measured over the run.

  Args:
    metrics: Metric name to its curve.

  Returns:
    HTML figures, the known metrics in a fixed order, then the others by name,
    train and eval together, at most 16 of these; and how many metrics that
    leaves without a chart.
  """
  found = [_draw(chart, metrics) for chart in _KNOWN]
  others: dict[str, list[str]] = {}
  for key in sorted(metrics):
    if key not in _NOT_OTHERS and not key.startswith(f"{VERIFIED}/"):
      others.setdefault(key.partition("/")[2] or key, []).append(key)
  left_out = sum(map(len, others.values()))
  for name, keys in sorted(others.items())[:_MOST_OTHERS]:
    marks: list[tuple[str, str, curves.Mark]] = [
      (key, key, "dots" if key.startswith("eval/") else "line")
      for key in keys[:_MOST_TOGETHER]
    ]
    left_out -= len(marks)
    title = name.replace("_", " ")
    found.append(_draw(_Chart(title, "", tuple(marks)), metrics))
  return [figure for figure in found if figure], left_out


def verified_chart(metrics: dict[str, Curve]) -> str:
  """The share of verified answers over the run; "" without two evaluations."""
  if VERIFIED not in metrics or len(metrics[VERIFIED].steps) < 2:
    return ""
  chart = _Chart(
    "Verified accuracy",
    "share of held-out answers checked as right",
    ((VERIFIED, "all kinds", "dots"),),
    axis=_SHARE,
  )
  return _draw(chart, metrics)


def _draw(chart: _Chart, metrics: dict[str, Curve]) -> str:
  """The chart as HTML; "" if none of its own metrics was logged."""
  series, drawable = [], []
  for key, name, mark in chart.curves:
    if key not in metrics:
      continue
    curve = metrics[key]
    name = report_text.visible(name, 60)
    window = 1
    if mark == "line" and chart.noisy and len(curve.steps) >= _SMOOTH_FROM:
      window = min(max(len(curve.steps) // 40, 3), 301) | 1
    series.append(curves.Series(name, curve.steps, curve.values, mark, window))
    drawable += [v for v in curve.values if math.isfinite(v)]
  if not any(one.mark != "rule" for one in series):
    return ""
  use_log = (
    bool(drawable)
    and min(drawable) > 0
    and max(drawable) / min(drawable) >= chart.log_from
  )
  units = [chart.unit] * bool(chart.unit) + ["log scale"] * use_log
  options: dict[str, Any] = dict(chart.axis)
  return curves.line_chart(
    series,
    title=report_text.visible(chart.title, 60),
    x_label="step",
    y_label=", ".join(units),
    y_log=use_log,
    **options,
  )
