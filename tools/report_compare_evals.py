# SPDX-License-Identifier: Apache-2.0
"""Evaluations of several sides, compared benchmark by benchmark."""

import collections
from collections.abc import Mapping, Sequence

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  report_compare_groups,
  report_compare_runs,
  report_eval_figures,
  report_eval_section,
  report_eval_tables,
  report_frame,
  report_radar,
  report_scatter,
  report_text,
  report_tracks,
  report_verdict_samples,
)
from ramjax.tools.report_compare_groups import Group
from ramjax.tools.report_eval_figures import Figure
from ramjax.tools.report_scatter import Point
from ramjax.tools.report_sides import Side
from ramjax.tools.report_tracks import Mark, Row
from ramjax.tools.report_verdict_samples import Answer
from ramjax.tools.report_verdicts import Verdict

_MOST_GROUPS = 40


def headline(found: Sequence[Group], sides: Sequence[Side]) -> str:
  """The main figures of every group, a column for each side."""
  rows = []
  for group in found[:_MOST_GROUPS]:
    for name, figures in main_figures(group).items():
      title = report_text.escaped(group.title, 120)
      cells = [
        "\N{EN DASH}" if one is None else report_eval_section.value(one)
        for one in figures
      ]
      detail = report_text.escaped(name, 80)
      if report_compare_groups.warning(group):
        detail += ": other data, baseline or judge"
      rows.append([f"{title}<small>{detail}</small>"])
      rows[-1] += cells
  shown = report_compare_runs.table([side.name for side in sides], rows)
  hint = (
    "In brackets the 95 % interval, where the evaluation has what it takes."
  )
  if left := len(found) - _MOST_GROUPS:
    hint += f" {left:,} more are not shown." if left > 0 else ""
  return f'<div class="card tablecard">{shown}<p class="hint">{hint}</p></div>'


def main_figures(group: Group) -> dict[str, list[Figure | None]]:
  """The main figures by name, one for each side."""
  found: dict[str, list[Figure | None]] = {}
  for i, one in enumerate(group.sides):
    for figure in _main(one.evaluation) if one else ():
      name = report_eval_section.named(figure)
      found.setdefault(name, [None] * len(group.sides))[i] = figure
  return found


def _main(evaluation: Evaluation) -> list[Figure]:
  rates = report_eval_figures.win_rates(evaluation)
  if rates:
    return rates
  figure = report_eval_figures.main_figure(evaluation)
  return [] if figure is None else [figure]


def lengths(found: Sequence[Group], sides: Sequence[Side]) -> str:
  """Length against win rate over all sides; "" with less than two."""
  points = [
    Point(
      f"{sides[i].name}, {group.title}",
      report_eval_figures.average_length(one.evaluation),
      rates[0],
      i,
    )
    for group in found
    for i, one in enumerate(group.sides)
    if one and (rates := report_eval_figures.win_rates(one.evaluation))
  ]
  return report_scatter.lengths(points)


def article(group: Group, sides: Sequence[Side]) -> str:
  """One group: figures, categories and answers side by side."""
  names = [side.name for side in sides]
  drawn = [
    _figures(group, names),
    *_tables(group, names),
  ]
  said = []
  for name, one in zip(names, group.sides, strict=True):
    if one is None:
      continue
    said.append(f"{name}: {one.evaluation.model}")
    if one.step is not None:
      said[-1] += f", {one.axis} {one.step:,}"
  answers, num_other = _answers(group, names)
  samples = report_verdict_samples.same_prompts(answers, names)
  warnings = [report_compare_groups.warning(group)]
  if num_other:
    warnings.append(
      f"{num_other:,} turns are of other questions under the same number, and"
      " do not stand side by side."
    )
  notes = "".join(
    f'<details class="said"><summary>Notes of {report_text.escaped(name, 60)}'
    f"</summary>{told}</details>"
    for name, one in zip(names, group.sides, strict=True)
    if one and (told := report_eval_section.notes(one.evaluation))
  )
  grid = "".join(filter(None, drawn))
  return (
    f'<article class="evaluation"><h3>{report_text.escaped(group.title, 160)}'
    f'</h3><p class="said">{report_text.escaped(" · ".join(said), 600)}</p>'
    f"{report_frame.notes([*filter(None, warnings)])}"
    f'{notes}<div class="charts compares">{grid}</div>{samples}</article>'
  )


def _answers(
  group: Group, names: Sequence[str]
) -> tuple[dict[str, dict[str, Answer]], int]:
  """Answers by prompt, or the judge's words where they are all there is.

  Returns:
    By side; and how many keys are left out, as they are not the same question
    everywhere.
  """
  questions: dict[str, set[str]] = {}
  for one in group.sides:
    for row in one.verdicts.rows if one and one.verdicts else ():
      asked = questions.setdefault(row.key, set())
      asked.update([] if row.question is None else [row.question])
  keys = {
    key: "\n".join([key, *asked])
    for key, asked in questions.items()
    if len(asked) < 2
  }
  found: dict[str, dict[str, Answer]] = {}
  for name, one in zip(names, group.sides, strict=True):
    if one is None or one.verdicts is None:
      continue
    found[name] = {
      keys[row.key]: _answer(row, one.verdicts.tie)
      for row in one.verdicts.rows
      if row.key in keys
    }
  return found, len(questions) - len(keys)


def _answer(row: Verdict, tie: float | None) -> Answer:
  if row.answer is not None:
    return Answer(row.answer, row.said, row.worth, tie)
  said = f"{row.said}, in the judge's words"
  return Answer("\n\n".join(row.words), said, row.worth, tie)


def _figures(group: Group, names: Sequence[str]) -> str:
  """The main figures as marks on an axis, a row for each side."""
  found = main_figures(group)
  if not found:
    return ""
  rows = []
  for title, figures in found.items():
    for i, (name, figure) in enumerate(zip(names, figures, strict=True)):
      if figure is not None:
        detail = title if len(found) > 1 else ""
        rows.append(Row(name, [Mark(figure, i)], detail))
  units = {row.marks[0].figure.unit for row in rows}
  if len(units) > 1:
    return ""
  is_rate = "win rate" in found
  unit = " ".join([*([next(iter(found))] if len(found) == 1 else [])])
  return report_tracks.tracks(
    rows,
    title="Win rates" if is_rate else "Main figure",
    unit=report_eval_tables.with_interval(
      unit or "percent", [row.marks[0].figure for row in rows]
    ),
    kind="dots",
    reference=50.0 if is_rate else None,
  )


def _tables(group: Group, names: Sequence[str]) -> list[str]:
  """Tables that two or more sides have, by category."""
  tables = dict.fromkeys(
    name for one in group.sides if one for name in one.evaluation.tables
  )
  drawn = []
  for table in tables:
    if table == report_eval_tables.CANARIES:
      continue
    by_side, others = _of_one_measure(group, table)
    if len(by_side) > 1:
      left = [names[i] for i in others]
      drawn += _categories(table, by_side, names, left)
  return drawn


def _of_one_measure(
  group: Group, table: str
) -> tuple[dict[int, dict[str, Figure]], list[int]]:
  """The measure that most sides have of a table, and sides without it.

  Of several that as many have it is the first side's main one.
  """
  rows = {
    i: one.evaluation.tables[table]
    for i, one in enumerate(group.sides)
    if one and table in one.evaluation.tables
  }
  measures = {
    i: report_eval_tables.category_measures(of_side)
    for i, of_side in rows.items()
  }
  having = collections.Counter(
    key for keys in measures.values() for key in keys
  )
  if not having:
    return {}, []
  # Of equal counts the first that was counted.
  (main, _), *_ = having.most_common(1)
  by_side = {
    i: report_eval_tables.by_category(rows[i], main)
    for i, keys in measures.items()
    if main in keys
  }
  return by_side, [
    i for i, keys in measures.items() if keys and main not in keys
  ]


def _categories(
  table: str,
  by_side: Mapping[int, Mapping[str, Figure]],
  names: Sequence[str],
  left: Sequence[str],
) -> list[str]:
  """A radar of grades, and bars."""
  categories = list(
    dict.fromkeys(c for found in by_side.values() for c in found)
  )
  every = [figure for found in by_side.values() for figure in found.values()]
  drawn = []
  if all(figure.unit == "of 10" for figure in every):
    nothing = Figure("", float("nan"))
    series = {
      i: (names[i], [found.get(c, nothing).value for c in categories])
      for i, found in by_side.items()
    }
    drawn.append(
      report_radar.radar(
        categories,
        series,
        title=f"Grades {table}",
        unit="mean grade",
        largest=report_eval_figures.MAX_GRADE,
      )
    )
  if len({figure.unit for figure in every}) > 1:
    return drawn
  rows = [
    Row(
      category,
      [
        Mark(found[category], i)
        for i, found in by_side.items()
        if category in found
      ],
    )
    for category in categories[: report_eval_tables.MOST_BARS]
  ]
  unit = ", ".join(
    filter(None, [every[0].title, every[0].unit.replace("%", "percent")])
  )
  drawn.append(
    report_tracks.tracks(
      rows,
      title=table[:1].upper() + table[1:],
      unit=report_eval_tables.with_interval(unit, every),
      kind="bars" if every[0].unit else "dots",
      legend={i: names[i] for i in by_side},
      note=" ".join(
        [
          report_eval_tables.left_out(len(categories)),
          *(f"{name} has no such figure." for name in left),
        ]
      ).strip(),
    )
  )
  return drawn
