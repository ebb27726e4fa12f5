# SPDX-License-Identifier: Apache-2.0
"""The page that compares runs, or evaluations that stand alone."""

from collections.abc import Sequence

from ramjax.tools import (
  report_compare_evals,
  report_compare_groups,
  report_compare_runs,
  report_eval_section,
  report_frame,
  report_text,
)
from ramjax.tools.report_sides import Side

_MOST_ARTICLES = 24


def page(sides: Sequence[Side]) -> str:
  """Several sides on one page.

  Args:
    sides: Two or more, from `report_sides.read`. A side has one colour, that of
      its place, everywhere.

  Returns:
    The document, without lone surrogates: it can be written as UTF-8.
  """
  groups = report_compare_groups.groups(sides)
  parts = [("Final figures", report_compare_runs.final_figures(sides))]
  if groups:
    body = report_compare_evals.headline(groups, sides)
    if scatter := report_compare_evals.lengths(groups, sides):
      body += f'<div class="below">{report_frame.grid([scatter])}</div>'
    parts.append(("Evaluations", body))
  if drawn := report_compare_runs.overlays(sides):
    parts.append(("Curves", report_frame.grid(drawn)))
  # What one side alone has stands in the table above.
  several = [
    one for one in groups if len(one.sides) > one.sides.count(None) + 1
  ]
  if shown := several[:_MOST_ARTICLES]:
    body = "".join(report_compare_evals.article(one, sides) for one in shown)
    if left := len(several) - len(shown):
      body += f'<p class="hint">{left:,} more stand in the table above.</p>'
    parts.append(("Evaluation by evaluation", body))
  parts.append(
    ("Answers to the same prompts", report_compare_runs.samples(sides))
  )
  parts.append(
    (
      "What the configs differ in",
      report_compare_runs.config_differences(sides),
    )
  )
  names = [side.name for side in sides]
  sections = [_head(sides)]
  sections += [
    report_frame.section(title, body) for title, body in parts if body
  ]
  return report_frame.document(" and ".join(names), sections)


def alone(side: Side) -> str:
  """The page of an evaluation that stands alone."""
  sections = [
    _head([side]),
    *(
      report_frame.section(*part)
      for part in (
        *report_eval_section.overview(side.evaluations),
        *report_eval_section.details(side.evaluations),
      )
    ),
  ]
  return report_frame.document(side.name, sections)


def _head(sides: Sequence[Side]) -> str:
  """The names in their colours, and what the reader should know of each."""
  is_one = len(sides) == 1
  names = " and ".join(side.name for side in sides)
  if len(sides) > 2:
    names = f"{len(sides)} compared"
  items = "".join(
    f'<li><i class="swatch s{i}"></i> {report_text.escaped(side.name, 120)}'
    f"<small>{report_text.escaped(_kind(side), 300)}</small></li>"
    for i, side in enumerate(sides)
  )
  if is_one:
    items = f"<li>{report_text.escaped(_kind(sides[0]), 300)}</li>"
  notes = [f"{side.name}: {note}" for side in sides for note in side.notes]
  kind = "evaluation" if is_one else "comparison"
  return (
    f'<header><p class="eyebrow">ramjax {kind}</p>'
    f"<h1>{report_text.escaped(names, 160)}</h1>"
    f'<ul class="sides">{items}</ul></header>{report_frame.notes(notes)}'
  )


def _kind(side: Side) -> str:
  """What a side is, in words."""
  if side.run is None:
    one = side.evaluations[0].evaluation
    return f"{one.benchmark} of {one.model}"
  algorithm = (side.run.config or {}).get("algorithm")
  curves = side.run.curves.values()
  steps = max((curve.steps[-1] for curve in curves), default=0)
  axis = next((curve.axis for curve in curves), "step")
  kind = algorithm if isinstance(algorithm, str) else "run"
  return f"{kind}, {steps:,} {axis}s"
