# SPDX-License-Identifier: Apache-2.0
"""The evaluations of a run on its page."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  report_eval_figures,
  report_eval_steps,
  report_eval_tables,
  report_evals,
  report_scatter,
  report_text,
  report_tracks,
  report_verdict_samples,
)
from ramjax.tools.report_eval_figures import Figure
from ramjax.tools.report_evals import Shown
from ramjax.tools.report_scatter import Point
from ramjax.tools.report_tracks import Mark, Row

# Rows of the first table, and notes of an evaluation.
_MOST_ROWS, _MOST_NOTES = 120, 40


class Section(NamedTuple):
  """A part of the page, as HTML."""

  title: str
  body: str


def overview(shown: Sequence[Shown]) -> list[Section]:
  """All figures of evaluations in a table, and win rates.

  Args:
    shown: Of one run, ordered by name and step.
  """
  if not shown:
    return []
  found = [Section("Evaluations", headline(shown))]
  if drawn := report_eval_steps.charts(shown):
    body = f'<div class="charts">{"".join(drawn)}</div>'
    found.append(Section("Evaluations over the run", body))
  if rates := win_rate_charts(report_evals.last_steps(shown)):
    body = f'<div class="charts">{"".join(rates)}</div>'
    found.append(Section("Win rates", body))
  return found


def details(shown: Sequence[Shown]) -> list[Section]:
  """Each evaluation at its last step, with all that it says.

  Args:
    shown: Of one run, ordered by name and step.
  """
  if not shown:
    return []
  last = report_evals.last_steps(shown)
  articles = [detailed(one) for one in last[: report_evals.MOST_DETAILED]]
  body = "".join(articles)
  if left := len(last) - len(articles):
    body += (
      f'<p class="hint">{left:,} more evaluations stand'
      " in the table above alone.</p>"
    )
  return [Section("Evaluation by evaluation", body)]


def title_of(one: Shown) -> str:
  """What an evaluation is called on a page."""
  return one.name or one.evaluation.benchmark


def headline(shown: Sequence[Shown]) -> str:
  """A row an evaluation: its main figures and their intervals."""
  rows = "".join(_headline_row(one) for one in shown[:_MOST_ROWS])
  hint = (
    "In brackets the 95 % interval, where the evaluation has what it takes."
  )
  if len(shown) > _MOST_ROWS:
    hint += f" The first {_MOST_ROWS} of {len(shown):,} evaluations are shown."
  return (
    '<div class="card tablecard"><table class="evals"><thead><tr>'
    '<th scope="col">Evaluation</th><th scope="col">Figure</th>'
    f'<th scope="col">Value</th></tr></thead><tbody>{rows}</tbody></table>'
    f'<p class="hint">{hint}</p></div>'
  )


def _headline_row(one: Shown) -> str:
  figures = report_eval_figures.win_rates(one.evaluation)
  main = report_eval_figures.main_figure(one.evaluation)
  if not figures and main is not None:
    figures = [main]
  names = "".join(
    f"<div>{report_text.escaped(named(figure), 80)}</div>" for figure in figures
  )
  values = "".join(f"<div>{value(figure)}</div>" for figure in figures)
  return (
    f'<tr><th scope="row">{report_text.escaped(title_of(one), 120)}'
    f"<small>{_said(one)}</small></th>"
    f"<td>{names or 'no number'}</td><td>{values}</td></tr>"
  )


def _said(one: Shown) -> str:
  """Benchmark, model and step, escaped."""
  parts = [one.evaluation.benchmark, one.evaluation.model]
  if one.step is not None:
    parts.append(f"{one.axis} {one.step:,}")
  return report_text.escaped(" · ".join(parts), 300)


def named(figure: Figure) -> str:
  """A figure's name in words."""
  unit = " (of 10)" if figure.unit == "of 10" else ""
  return figure.title + unit


def value(figure: Figure) -> str:
  """A figure with its interval, as HTML."""
  interval = f" <small>({figure.interval})</small>" if figure.interval else ""
  return f"<b>{figure.text}</b>{interval}"


def win_rate_charts(last: Sequence[Shown]) -> list[str]:
  """Win rates with their intervals, and against the length of the answers."""
  rated = [(one, report_eval_figures.win_rates(one.evaluation)) for one in last]
  rated = [(one, figures) for one, figures in rated if figures]
  if not rated:
    return []
  rows = [
    Row(
      title_of(one),
      [Mark(figure, min(i, 1)) for i, figure in enumerate(figures)],
    )
    for one, figures in rated
  ]
  has_control = any(len(figures) > 1 for _, figures in rated)
  chart = report_tracks.tracks(
    rows,
    title="Win rates",
    unit="percent, with 95 % intervals",
    kind="dots",
    legend={0: "win rate", 1: "length-controlled (LC) win rate"}
    if has_control
    else None,
    reference=50.0,
    note="The interval is 1.96 standard errors to either side: how sure the mean"
    " over these instructions is. The baseline is at 50%.",
  )
  points = [
    Point(
      title_of(one),
      report_eval_figures.average_length(one.evaluation),
      figures[0],
    )
    for one, figures in rated
  ]
  length = report_scatter.lengths(points)
  return [chart, *filter(None, [length])]


def detailed(one: Shown) -> str:
  """Everything of one evaluation: charts, samples, notes, all figures."""
  evaluation = one.evaluation
  drawn = report_eval_tables.charts(evaluation)
  samples = ""
  if verdicts := one.verdicts:
    samples = report_verdict_samples.table(verdicts)
    if rows := one.lengths:
      drawn.append(
        report_tracks.tracks(
          rows,
          title="Win rate by difference in length",
          unit="percent, with 95 % intervals",
          kind="dots",
          reference=50.0,
          note="Characters of the model's answer less those of the baseline's,"
          " in groups of about as many pairs.",
        )
      )
  grid = f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""
  return (
    f'<article class="evaluation"><h3>{report_text.escaped(title_of(one), 120)}'
    f'</h3><p class="said">{_said(one)}</p>{notes(evaluation)}{grid}'
    f"{report_eval_tables.canaries(evaluation)}{samples}"
    f"{everything(evaluation)}</article>"
  )


def notes(evaluation: Evaluation) -> str:
  """What was counted, and what a reader needs, as HTML."""
  said = [
    f"{number:,} {rule}"
    for rule, number in evaluation.counted.items()
    if number
  ]
  said += evaluation.notes
  if not said:
    return ""
  lines = "".join(
    f"<li>{report_text.escaped(text, 600)}</li>" for text in said[:_MOST_NOTES]
  )
  if len(said) > _MOST_NOTES:
    lines += f"<li>{len(said) - _MOST_NOTES:,} more</li>"
  return f'<ul class="said">{lines}</ul>'


def everything(evaluation: Evaluation) -> str:
  """All figures and all tables as they are, folded."""
  figures = report_eval_tables.table(
    [{"figure": name, "value": x} for name, x in evaluation.figures.items()]
  )
  tables = "".join(
    f'<p class="caption">{report_text.escaped(name, 120)}</p>'
    f"{report_eval_tables.table(rows)}"
    for name, rows in itertools.islice(
      evaluation.tables.items(), report_eval_tables.MOST_TABLES
    )
  )
  left = len(evaluation.tables) - report_eval_tables.MOST_TABLES
  if left > 0:
    tables += f'<p class="hint">{left:,} more tables are not shown.</p>'
  return (
    '<div class="card settings-card"><details><summary><b>All figures and'
    f' tables</b></summary><div class="inner">{figures}{tables}</div></details>'
    "</div>"
  )
