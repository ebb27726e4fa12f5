# SPDX-License-Identifier: Apache-2.0
"""Which evaluations of several sides stand beside each other, and how far."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ramjax.tools import report_eval_data, report_eval_names
from ramjax.tools.report_evals import Shown
from ramjax.tools.report_sides import Side


class Group(NamedTuple):
  """Evaluations of one kind; None where a side has none."""

  title: str
  sides: Sequence[Shown | None]


def groups(sides: Sequence[Side]) -> list[Group]:
  """Evaluations that can stand beside each other.

  They are of one benchmark. Those of runs have one name, too, as a name stands
  for the data that a run was evaluated on. One that stands alone belongs to
  those of its folder's name; or, where the runs have but one name or none, to
  whatever the others have.
  """
  benchmarks = dict.fromkeys(
    one.evaluation.benchmark for side in sides for one in side.evaluations
  )
  found = []
  for benchmark in benchmarks:
    by_name: dict[str, list[Shown | None]] = {}
    in_runs = {
      one.name
      for side in sides
      for one in side.evaluations
      if side.run is not None and one.evaluation.benchmark == benchmark
    }
    for i, side in enumerate(sides):
      for one in side.evaluations:
        if one.evaluation.benchmark != benchmark:
          continue
        name = _name_alone(one, in_runs) if side.run is None else one.name
        by_name.setdefault(name, [None] * len(sides))[i] = one
    for name, row in by_name.items():
      has_name = name and name != benchmark
      found.append(
        Group(f"{benchmark}: {name}" if has_name else benchmark, row)
      )
  return found


def _name_alone(one: Shown, in_runs: Collection[str]) -> str:
  """What an evaluation that stands alone is called among those of runs."""
  if len(in_runs) < 2:
    return next(iter(in_runs), "")
  name, step = report_eval_names.name_and_step(one.folder.resolve())
  (name,) = report_eval_names.without_models([(name, step, one.evaluation)])
  ends = [run for run in in_runs if run and f"{name}/".endswith(f"/{run}/")]
  return max(ends, key=len, default=name.rpartition("/")[2])


def warning(group: Group) -> str:
  """What keeps the figures of a group from being compared; "" for nothing.

  That they were made from other files, or that another judge gave them, or
  that they are against another baseline.
  """
  there = [one for one in group.sides if one is not None]
  other = report_eval_data.differences([one.data for one in there])
  terms = {
    one.verdicts.terms: None
    for one in there
    if one.verdicts is not None and one.verdicts.rows
  }
  if len(terms) > 1:
    other.append(";".join(terms).strip(" ,"))
  if not other:
    return ""
  return (
    f"Other data, baseline or judge ({', '.join(other)}): the figures do not"
    " compare."
  )
