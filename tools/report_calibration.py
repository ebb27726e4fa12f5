# SPDX-License-Identifier: Apache-2.0
"""The calibration of a report: is a sure model as often right as it is sure?"""

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.tools import curves, report_text
from ramjax.tools.report_run import Curve

_ERROR = "eval/rewards/calibration_error"
_BIN = re.compile(
  r"eval/rewards/calibration/([01]\.[0-9]{1,3})-([01]\.[0-9]{1,3})"
)
# What a model says is better it gives at least this chance.
_LOWEST = 0.5
_BELOW_THE_AXIS = 19
# Width of a number beside a dot, and what keeps them apart.
_NUMBER = 38


class Bin(NamedTuple):
  """A range of confidence, and the share of its pairs named rightly.

  `mean` is the mean confidence of its pairs; None is the middle of the range.
  """

  low: float
  high: float
  accuracy: float
  mean: float | None = None

  @property
  def is_one(self) -> bool:
    """Whether it can be drawn."""
    mean = self.low if self.mean is None else self.mean
    return (
      _LOWEST <= self.low < self.high <= 1
      and 0 <= self.accuracy <= 1
      and _LOWEST <= mean <= 1
    )


def is_part(key: str) -> bool:
  """Whether a metric is drawn or told by `calibration_chart`."""
  return key == _ERROR or _BIN.fullmatch(key) is not None


def calibration_chart(metrics: dict[str, Curve]) -> str:
  """Accuracy by confidence at the last evaluation, as an HTML figure.

  Args:
    metrics: The run's curves: `eval/rewards/calibration_error` and, for each
      bin, `eval/rewards/calibration/<low>-<high>`, its accuracy.

  Returns:
    The figure; "" if no bin was logged.
  """
  found = {k: curve for k, curve in metrics.items() if is_part(k)}
  last = max((curve.steps[-1] for curve in found.values()), default=0)
  # A bin that is empty is not logged: what it held earlier is of no interest.
  bins = sorted(
    Bin(float(match[1]), float(match[2]), curve.values[-1])
    for key, curve in found.items()
    if (match := _BIN.fullmatch(key)) and curve.steps[-1] == last
  )
  return chart(
    bins,
    unit=f"pairs named rightly, by confidence, step {last:,}",
    dots="held-out pairs",
    hint=_hint(found.get(_ERROR), last),
  )


def chart(bins: Sequence[Bin], *, unit: str, dots: str, hint: str) -> str:
  """Accuracy by confidence as an HTML figure.

  Args:
    bins: Those that are none are left out.
    unit: What is drawn, escaped.
    dots: What the dots are made of, for the legend.
    hint: What to read from it, escaped.

  Returns:
    The figure; "" if no bin is left.
  """
  bins = [one for one in bins if one.is_one]
  if not bins:
    return ""
  told = ". ".join(
    f"{_share(one.accuracy)} right at {_share(one.low)} to {_share(one.high)}"
    for one in bins
  )
  legend = curves.legend_entry(dots, "dots alone")
  legend += curves.legend_entry("as sure as it is right", "rule")
  return (
    '<figure class="chart"><figcaption><b>Calibration</b> <span class="unit">'
    f"{unit}</span></figcaption>"
    f'<div class="legend">{legend}</div>'
    f'<svg class="plot" viewBox="0 0 {curves.WIDTH} {curves.HEIGHT}" role="img"'
    f' aria-label="Calibration. {html.escape(told)}.">{_axes()}'
    f"{''.join(map(_mark, bins))}</svg>"
    f'<p class="hint">{hint}</p></figure>'
  )


def _hint(error: Curve | None, last: int) -> str:
  text = "Below the line the rewards promise more than they hold."
  if error is None or error.steps[-1] != last:
    return text
  number = report_text.number(error.values[-1], 3)
  before = ""
  if len(error.steps) > 1:
    first = report_text.number(error.values[0], 3)
    before = f" ({first} at step {error.steps[0]:,})"
  return (
    f"Calibration error <b>{number}</b>{before}: the mean distance of the dots"
    f" from the line, by number of pairs. {text}"
  )


def _axes() -> str:
  """Grid, labels and the diagonal."""
  left, right, bottom = curves.LEFT, curves.RIGHT, curves.BOTTOM
  parts = []
  for share in (0.0, 0.25, 0.5, 0.75, 1.0):
    y = _down(share)
    parts.append(
      f'<path class="grid" d="M{left} {y:.1f}H{right}"/><text class="y"'
      f' x="{left - 8}" y="{y + 4:.1f}">{_share(share)}</text>'
    )
  for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
    x = _across(share)
    parts.append(
      f'<path class="tick" d="M{x:.1f} {bottom}v4"/><text class="x"'
      f' x="{x:.1f}" y="{bottom + _BELOW_THE_AXIS}">{_share(share)}</text>'
    )
  return (
    f'{"".join(parts)}<path class="axis" d="M{left} {bottom}H{right}"/>'
    f'<text class="x name" x="{(left + right) / 2:g}" y="{curves.HEIGHT - 6}">'
    'confidence, sigmoid(|margin|)</text><g class="rule"><path'
    f' d="M{left} {_down(_LOWEST):.1f}L{right} {_down(1.0):.1f}"/></g>'
  )


def _mark(one: Bin) -> str:
  """A bin's dot at its mean confidence, its gap to the line, its number."""
  middle = (one.low + one.high) / 2 if one.mean is None else one.mean
  x, y, line = _across(middle), _down(one.accuracy), _down(middle)
  # Away from the line, which rises: above it to the left, below to the right,
  # where is room in any case.
  if y <= line and x > curves.LEFT + _NUMBER:
    across, place, side = x - 8, y - 3, "end"
  else:
    across, place, side = x + 8, max(y, line) + 12, "start"
  place = min(max(place, curves.TOP + 8), curves.BOTTOM - 4)
  return (
    f'<path class="gap" d="M{x:.1f} {line:.1f}V{y:.1f}"/><g class="dots">'
    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.2"/></g><text class="value"'
    f' text-anchor="{side}" x="{across:.1f}" y="{place:.1f}">'
    f"{_share(one.accuracy)}</text>"
  )


def _across(confidence: float) -> float:
  share = (confidence - _LOWEST) / (1 - _LOWEST)
  return curves.LEFT + (curves.RIGHT - curves.LEFT) * share


def _down(share: float) -> float:
  return curves.BOTTOM - (curves.BOTTOM - curves.TOP) * share


def _share(share: float) -> str:
  return f"{100 * share:.0f}%"
