# SPDX-License-Identifier: Apache-2.0
"""The top of a report: what was trained, and its key figures."""

import html
import math
import statistics
from typing import Any

from ramjax.tools import (
  report_frame,
  report_metrics,
  report_tables,
  report_text,
)
from ramjax.tools.report_run import Curve, Run


def headline(run: Run) -> str:
  """The name of the run, what is known about it, and a row of key figures."""
  config = dict(report_tables.flatten(run.config or {}))
  manifest = dict(report_tables.flatten(run.manifest or {}))
  facts = "".join(
    f"<div><dt>{name}</dt><dd>{report_text.escaped(fact, 80)}</dd></div>"
    for name, fact in _facts(config, manifest)
  )
  figures = "".join(
    f'<div class="figure"><div class="name">{name}</div>'
    f'<div class="value">{value}</div><div class="detail">{detail}</div></div>'
    for name, value, detail in _figures(run, config, manifest)
  )
  return (
    '<header><p class="eyebrow">ramjax training report</p>'
    f"<h1>{report_text.escaped(run.name, 120)}</h1>"
    f'<dl class="facts">{"".join(facts)}</dl></header>'
    f'<section class="figures" aria-label="Key figures">{figures}</section>'
    + report_frame.notes(run.notes)
  )


def _facts(
  config: dict[str, Any], manifest: dict[str, Any]
) -> list[tuple[str, str]]:
  """What was trained, on what, where and by which code, as far as known."""
  facts = []
  for name, path in (("Algorithm", "algorithm"), ("Model", "model.preset")):
    if config.get(path) and isinstance(config[path], str):
      facts.append((name, config[path]))
  sources = [
    value
    for path, value in config.items()
    if path.startswith("data.sources.")
    and path.endswith(".path")
    and isinstance(value, str)
  ]
  if sources:
    facts.append(("Data", ", ".join(sources)))
  device, num = manifest.get("devices.kind"), manifest.get("devices.count")
  if isinstance(device, str):
    times = f"{num} x " if isinstance(num, int) and num > 1 else ""
    facts.append(("Device", times + device))
  commit = manifest.get("code.commit")
  if isinstance(commit, str):
    changed = " (modified)" if manifest.get("code.modified") is True else ""
    facts.append(("Commit", commit[:10] + changed))
  return facts


def _figures(
  run: Run, config: dict[str, Any], manifest: dict[str, Any]
) -> list[tuple[str, str, str]]:
  """(name, value, detail) of each key figure, as HTML."""
  curves = run.curves
  figures = []
  if "eval/perplexity" in curves:
    curve = curves["eval/perplexity"]
    detail = f"after {curve.steps[-1]:,} {curve.axis}s"
    if "eval/unigram_perplexity" in curves:
      guess = curves["eval/unigram_perplexity"].values[-1]
      detail = f"token frequencies alone: {report_text.number(guess, 3)}"
    ends = [report_text.number(curve.values[i], 3) for i in (0, -1)]
    figures.append(("Held-out perplexity", _change(curve, ends), detail))
  figures += _of_answers(curves)
  figures += _scores(curves)
  accuracies = report_tables.accuracies(curves, run.samples)
  if accuracies is not None:
    row = accuracies.rows[0]
    ends = [report_text.percent(share) for share in (row.first, row.last)]
    steps = [accuracies.first_step, accuracies.last_step]
    value = _change(Curve(steps, [row.first, row.last]), ends)
    detail = "of held-out answers"
    if accuracies.sampled:
      detail += ", sampled"
      if report_metrics.VERIFIED in curves:
        greedy = curves[report_metrics.VERIFIED].values
        ends = [report_text.percent(greedy[i]) for i in (0, -1)]
        detail += f"; of greedy ones {ends[0]} to {ends[1]}"
    figures.append(("Verified accuracy", value, detail))
  if "train/loss" in curves:
    losses = curves["train/loss"].values
    unit = report_metrics.loss_unit(config.get("algorithm"), curves)
    parts = [f"from {report_text.number(losses[0])}", *filter(None, [unit])]
    detail = ", ".join(parts)
    last = report_text.number(losses[-1])
    figures.append(("Final train loss", last, detail))
  steps = max((curve.steps[-1] for curve in curves.values()), default=0)
  axis = next((curve.axis for curve in curves.values()), "step")
  key = "rounds.num_rounds" if axis == "round" else "run.total_steps"
  planned = config.get(key)
  detail = f"of {planned:,} planned" if isinstance(planned, int) else ""
  figures.append((f"{axis.title()}s", f"{steps:,}", detail))
  return figures + _costs(run, manifest)


def _scores(curves: dict[str, Curve]) -> list[tuple[str, str, str]]:
  """What the answers of an online run came to be worth."""
  found = []
  for key, detail in (
    (report_metrics.SAMPLED_SCORE, "held-out answers, sampled"),
    ("eval/score", "held-out answers, greedy"),
  ):
    if key in curves:
      curve = curves[key]
      ends = [report_text.number(curve.values[i], 3) for i in (0, -1)]
      found.append(("Score", _change(curve, ends), detail))
  return found


def _of_answers(curves: dict[str, Curve]) -> list[tuple[str, str, str]]:
  """How held-out answers are told apart, or rated."""
  figures = []
  accuracy = report_metrics.PAIR_ACCURACY
  if accuracy in curves:
    curve = curves[accuracy]
    low, high = (curves.get(f"{accuracy}_{end}") for end in ("low", "high"))
    detail = "of pairs"
    if low is not None and high is not None:
      ends = [report_text.percent(one.values[-1]) for one in (low, high)]
      detail = f"95% interval {ends[0]} to {ends[1]}"
    ends = [report_text.percent(curve.values[i]) for i in (0, -1)]
    figures.append(("Held-out pair accuracy", _change(curve, ends), detail))
  gap = _gap(curves)
  for name, curve, detail in (
    (
      "Held-out margin",
      curves.get("eval/rewards/margin"),
      "reward of chosen less rejected",
    ),
    ("Held-out reward gap", gap, "mean of desirable less undesirable"),
    (
      "Held-out error",
      curves.get("eval/error"),
      "mean distance from the rating",
    ),
  ):
    if curve is not None:
      ends = [report_text.number(curve.values[i], 3) for i in (0, -1)]
      figures.append((name, _change(curve, ends), detail))
  return figures


def _gap(curves: dict[str, Curve]) -> Curve | None:
  """Mean reward of desirable answers less that of undesirable ones."""
  sides = [
    curves.get(f"eval/rewards/{side}") for side in ("desirable", "undesirable")
  ]
  if sides[0] is None or sides[1] is None or sides[0].steps != sides[1].steps:
    return None
  pairs = zip(sides[0].values, sides[1].values, strict=True)
  return Curve(sides[0].steps, [a - b for a, b in pairs])


def _costs(run: Run, manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
  """What the run took: tokens, rate, time, parameters."""
  curves, figures = run.curves, []
  if "train/tokens" in curves:
    tokens = curves["train/tokens"].values[-1]
    detail = "padding not counted"
    if "train/supervised_tokens" in curves and tokens > 0:
      share = curves["train/supervised_tokens"].values[-1] / tokens
      detail = f"{report_text.percent(share)} of them supervised"
    figures.append(("Tokens trained", report_text.count(tokens), detail))
  if "train/tokens_per_s" in curves:
    # The first line's rate counts the compilation; the median does not mind.
    rates = filter(math.isfinite, curves["train/tokens_per_s"].values)
    if rate := statistics.median([*rates] or [0.0]):
      figures.append(("Tokens per second", report_text.count(rate), "median"))
  if run.wall_time_s is not None:
    time = report_text.duration(run.wall_time_s)
    figures.append(("Wall time", time, "evaluations included"))
  for path, value in manifest.items():
    if path.rpartition(".")[2] == "num_parameters" and isinstance(value, int):
      figures.append(("Parameters", report_text.count(value), f"{value:,}"))
      break
  return figures


def _change(curve: Curve, ends: list[str]) -> str:
  """First and last value with an arrow between, or the only one."""
  first, last = map(html.escape, ends)
  if len(curve.steps) == 1 or curve.steps[0] == curve.steps[-1]:
    return last
  return f"<i>{first} →</i> {last}"
