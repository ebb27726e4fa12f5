# SPDX-License-Identifier: Apache-2.0
"""How evaluations came out step by step: a chart for each that ran more often."""

from collections.abc import Sequence

from ramjax.tools import curves, report_eval_figures, report_text
from ramjax.tools.report_evals import Shown
from ramjax.tools.report_points import Series


def charts(shown: Sequence[Shown]) -> list[str]:
  """The main figure of each evaluation over the steps of its run, as HTML.

  Args:
    shown: Of one run, ordered by name and step.

  Returns:
    A chart for each name that has a number at two steps or more.
  """
  names = dict.fromkeys(one.name for one in shown if one.step is not None)
  return [
    drawn
    for name in names
    if (drawn := _chart([one for one in shown if one.name == name]))
  ]


def _chart(steps: Sequence[Shown]) -> str:
  found = [
    (one.step, figure)
    for one in steps
    if one.step is not None
    and (figure := report_eval_figures.main_figure(one.evaluation)) is not None
  ]
  # Another command under the same name measures something else.
  last = found[-1][1] if found else None
  same = [(step, x) for step, x in found if last and x.name == last.name]
  if len(same) < 2 or last is None:
    return ""
  has_band = any(figure.has_interval for _, figure in same)
  title = f"{steps[-1].name}: {last.title}"
  return curves.line_chart(
    [
      Series(
        "with its 95% interval" if has_band else last.title,
        [step for step, _ in same],
        [figure.value for _, figure in same],
        "dots",
        low=[figure.low for _, figure in same] if has_band else None,
        high=[figure.high for _, figure in same] if has_band else None,
      )
    ],
    title=report_text.visible(title, 60),
    x_label=steps[-1].axis,
    y_label="percent" if last.unit == "%" else last.unit,
  )
