# SPDX-License-Identifier: Apache-2.0
"""The tables of a report: accuracy by kind, and nested settings."""

import json
import math
from typing import Any, NamedTuple

from ramjax.tools import report_text
from ramjax.tools.report_metrics import (
  PAIR_ACCURACY,
  SAMPLED_VERIFIED,
  VERIFIED,
)
from ramjax.tools.report_run import Curve, Sample

# Rows that one table of kinds may have beside a chart, and rows at all.
MOST_IN_ONE = 9
_MOST_KINDS = 40
_MOST_ROWS = 800


class Accuracy(NamedTuple):
  """The share of one kind that is right, at two steps."""

  kind: str
  first: float
  last: float


class Accuracies(NamedTuple):
  """Accuracy by kind: all kinds together come first."""

  first_step: int
  last_step: int
  rows: list[Accuracy]
  from_samples: bool
  of: str = "Kind"
  # Of answers drawn as in a rollout, not of greedy ones.
  sampled: bool = False


def accuracies(
  metrics: dict[str, Curve], samples: list[Sample]
) -> Accuracies | None:
  """Verified accuracy at the first and the last evaluation.

  Args:
    metrics: The run's curves. Its evaluations are used if it has them: those of
      sampled answers, which an online run improves, before those of greedy ones.
    samples: Counted if there is no evaluation.

  Returns:
    The shares, or None if nothing was ever verified.
  """
  if found := _measured(metrics, SAMPLED_VERIFIED, "all kinds"):
    return found._replace(sampled=True)
  if found := _measured(metrics, VERIFIED, "all kinds"):
    return found
  judged = [one for one in samples if one.verified is not None]
  if not judged:
    return None
  first, last = judged[0].step, judged[-1].step
  rows = []
  kinds = sorted({one.kind for one in judged if one.kind is not None})
  for kind in [None, *kinds]:
    ends = [
      [
        bool(one.verified)
        for one in judged
        if one.step == step and kind in (None, one.kind)
      ]
      for step in (first, last)
    ]
    shares = [sum(e) / len(e) if e else math.nan for e in ends]
    name = "all kinds" if kind is None else kind
    rows.append(Accuracy(name, shares[0], shares[1]))
  return Accuracies(first, last, rows, from_samples=True)


def subset_accuracies(metrics: dict[str, Curve]) -> Accuracies | None:
  """Accuracy on held-out pairs by subset; None if they are not told apart."""
  found = _measured(metrics, PAIR_ACCURACY, "all pairs")
  if found is None or len(found.rows) < 2:
    return None
  return found._replace(of="Subset")


def _measured(
  metrics: dict[str, Curve], name: str, together: str
) -> Accuracies | None:
  """A metric and those below it, at the first and last evaluation."""
  rows, steps = [], []
  for key in sorted(metrics):
    if key == name or key.startswith(f"{name}/"):
      curve = metrics[key]
      kind = key[len(name) + 1 :] or together
      rows.append(Accuracy(kind, curve.values[0], curve.values[-1]))
      steps += curve.steps
  if not rows:
    return None
  return Accuracies(min(steps), max(steps), rows, from_samples=False)


def accuracy_tables(found: Accuracies) -> str:
  """Accuracy before and after, one row a kind, with bars.

  Args:
    found: The shares.

  Returns:
    One table, or two halves if there are more than `MOST_IN_ONE` kinds: all
    kinds together, then each, the best first.
  """
  together, *kinds = found.rows
  kinds.sort(key=lambda row: (-row.last if row.last >= 0 else 1.0, row.kind))
  rows = [together, *kinds[:_MOST_KINDS]]
  middle = len(rows) if len(rows) <= MOST_IN_ONE else (len(rows) + 1) // 2
  halves = [half for half in (rows[:middle], rows[middle:]) if half]
  hints = []
  if found.from_samples:
    hints.append("Counted from the samples of this page.")
  if found.sampled:
    hints.append("Of answers drawn as in training.")
  if found.first_step == found.last_step:
    hints.append("There is one evaluation so far, so nothing to compare.")
  else:
    hints.append(
      f"Upper bar: step {found.first_step:,}. Lower bar: step"
      f" {found.last_step:,}. A full bar is 100%."
    )
  if len(kinds) > _MOST_KINDS:
    hints.append(f"{len(kinds) - _MOST_KINDS:,} more kinds are not shown.")
  tables = "".join(_accuracy_table(found, half) for half in halves)
  return f'<div class="halves">{tables}</div><p class="hint">' + (
    f"{' '.join(hints)}</p>"
  )


def _accuracy_table(found: Accuracies, rows: list[Accuracy]) -> str:
  parts = []
  for kind, first, last in rows:
    change = 100 * (last - first)
    gain = f"{change:+.1f}".replace("-", "\N{MINUS SIGN}")
    name = report_text.escaped(kind.replace("_", " "), 60)
    parts.append(
      f'<tr><th scope="row">{name}</th>'
      f'<td class="bars">{_bar("before", first)}{_bar("after", last)}</td>'
      f"<td>{report_text.percent(first)}</td>"
      f"<td><b>{report_text.percent(last)}</b></td>"
      f'<td class="gain">{gain if math.isfinite(change) else "n/a"}</td></tr>'
    )
  return (
    '<table class="accuracy"><thead><tr><th scope="col">'
    f"{found.of}</th>"
    '<th class="bars"><span class="visually-hidden">Bars</span></th>'
    f'<th scope="col">step {found.first_step:,}</th>'
    f'<th scope="col">step {found.last_step:,}</th>'
    f'<th scope="col">points</th></tr></thead><tbody>{"".join(parts)}</tbody>'
    "</table>"
  )


def _bar(name: str, share: float) -> str:
  width = 100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
  return (
    f'<span class="track"><span class="bar {name}"'
    f' style="width:{width:.1f}%"></span></span>'
  )


def flatten(tree: dict[str, Any]) -> list[tuple[str, Any]]:
  """The leaves of a nested object, by dotted path, in order.

  Args:
    tree: JSON values. Lists of plain values count as leaves.

  Returns:
    (path, value) pairs, such as ("optim.learning_rate", 5e-7).
  """
  leaves = []
  stack: list[tuple[str, Any]] = [("", tree)]
  while stack:  # And no recursion: strangers' files nest as they like.
    path, value = stack.pop()
    if isinstance(value, dict) and value:
      dot = f"{path}." if path else ""
      inner = [(f"{dot}{key}", leaf) for key, leaf in value.items()]
    elif isinstance(value, list) and any(
      isinstance(item, (dict, list)) for item in value
    ):
      inner = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
    else:
      leaves.append((path, value))
      continue
    stack += reversed(inner)
  return leaves


def settings(tree: dict[str, Any]) -> str:
  """A nested object as collapsible tables, one for each top-level group."""
  groups: dict[str, list[tuple[str, Any]]] = {}
  for key, value in tree.items():
    if isinstance(value, (dict, list)) and value:
      groups[key] = flatten({"": value} if isinstance(value, list) else value)
    else:
      groups.setdefault("", []).append((key, value))
  parts, rows_left = [], _MOST_ROWS
  for key in sorted(groups, key=bool):  # The ungrouped entries come first.
    leaves = groups[key][:rows_left]
    rows_left -= len(leaves)
    if leaves:
      parts.append(_group(key or "general", leaves, len(groups[key])))
  total = sum(map(len, groups.values()))
  if total > _MOST_ROWS:
    parts.append(
      f'<p class="hint">The first {_MOST_ROWS:,} of {total:,} entries are'
      " shown.</p>"
    )
  return "".join(parts) or '<p class="hint">It is empty.</p>'


def _group(name: str, leaves: list[tuple[str, Any]], total: int) -> str:
  preview = ", ".join(
    f"{path.rpartition('.')[2]} {plain(value)[:40]}"
    for path, value in [leaf for leaf in leaves if leaf[1] is not None][:8]
  )
  rows = "".join(
    f'<tr><th scope="row">{report_text.escaped(path, 120)}</th>'
    f"<td>{report_text.escaped(plain(value), 400)}</td></tr>"
    for path, value in leaves
  )
  entries = "1 entry" if total == 1 else f"{total:,} entries"
  return (
    f"<details><summary><b>{report_text.escaped(name, 60)}</b>"
    f'<span class="preview">{report_text.escaped(preview[:160], 160)}</span>'
    f'<span class="size">{entries}</span></summary>'
    f'<div class="wide"><table class="settings">{rows}</table></div></details>'
  )


def plain(value: Any) -> str:
  """A leaf as text: strings bare, everything else as JSON."""
  if isinstance(value, str):
    return value
  return json.dumps(value, ensure_ascii=False)
