# SPDX-License-Identifier: Apache-2.0
"""Win rates by how much longer the model's answers are than the baseline's."""

import numpy as np

from ramjax.evals import win_rate
from ramjax.tools import report_eval_figures
from ramjax.tools.report_eval_figures import Figure
from ramjax.tools.report_tracks import Mark, Row
from ramjax.tools.report_verdicts import Verdicts

_MOST_GROUPS, _LEAST_IN_GROUP = 5, 5


def by_length(verdicts: Verdicts) -> list[Row]:
  """Win rates of pairs in groups by how much longer the model's answer is.

  Args:
    verdicts: Of pairs.

  Returns:
    A row a group, of about as many pairs each; none of few pairs.
  """
  pairs = [
    (len(row.answer) - len(row.baseline), row.worth)
    for row in verdicts.rows
    if row.answer is not None and row.baseline is not None
  ]
  number = min(_MOST_GROUPS, len(pairs) // _LEAST_IN_GROUP)
  if verdicts.tie is None or number < 2:
    return []
  longer, worth = np.array(pairs, float).T
  edges = np.unique(np.quantile(longer, np.arange(1, number) / number))
  groups = np.searchsorted(edges, longer, side="left")
  rows = []
  for group in range(len(edges) + 1):
    inside = groups == group
    if not inside.any():
      continue
    # Preferences are from 1 to 2.
    rate = win_rate.win_rate(worth[inside].tolist())
    spread = report_eval_figures.spread(rate.standard_error)
    bounds = [longer[inside].min(), longer[inside].max()]
    texts = dict.fromkeys(f"{bound:+,.0f}" for bound in bounds)
    name = " to ".join(texts).replace("-", "\N{MINUS SIGN}")
    ends = rate.win_rate - spread, rate.win_rate + spread
    figure = Figure("win rate", rate.win_rate, *ends, "%").within()
    rows.append(Row(name, [Mark(figure)], f"{inside.sum():,} pairs"))
  return rows
