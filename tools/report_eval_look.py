# SPDX-License-Identifier: Apache-2.0
"""How a report's evaluations and comparisons look."""

# Eight colours, for as many runs on one page; series i has --s<i>.
_LIGHT = (
  *("#2563c9", "#c2560c", "#0b7a75", "#8a3fb0"),
  *("#b3264a", "#6b6a00", "#0f7fae", "#6f5a4b"),
)
_DARK = (
  *("#7fb0ff", "#f4a261", "#5cc8c0", "#cf9bf0"),
  *("#f58aa5", "#cfcb5a", "#6cc6ee", "#c9ad98"),
)
# Strokes, so that colour is not the only cue; "" is unbroken.
_DASHES = ("", "8 3", "2 3", "10 3 2 3", "4 4", "14 4", "1 4", "6 2 2 2 2 2")


def _colours(colours: tuple[str, ...]) -> str:
  return " ".join(f"--s{i}: {colour};" for i, colour in enumerate(colours))


def _series() -> str:
  """The rules of each series."""
  rules = []
  for i, dashes in enumerate(_DASHES):
    rules.append(f".s{i} {{ --own: var(--s{i}); }}")
    stroke = f" stroke-dasharray: {dashes};" if dashes else ""
    # Behind those of marks, which have colours of their own.
    rules.append(
      f".line.s{i} path, .dashes.s{i} path, .dots.s{i} path {{"
      f" stroke: var(--own); stroke-dasharray: none;{stroke} }}\n"
      f".line.s{i} circle {{ fill: var(--own); }}\n"
      f".dots.s{i} circle {{ stroke: var(--own); }}\n"
      f".faint.s{i} path {{ stroke: var(--own); }}"
    )
  return "\n".join(rules)


STYLE = (
  f"""
:root {{ {_colours(_LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_colours(_DARK)} }} }}
{_series()}
"""
  + """
h3 { font-size: 16px; margin: 0; overflow-wrap: anywhere; }
.evaluation { margin: 26px 0 0; }
.evaluation:first-of-type { margin-top: 0; }
.evaluation > .charts { align-items: start; }
.evaluation > .charts, .evaluation > .card { margin-top: 12px; }
.said { color: var(--soft); font-size: 13px; margin: 2px 0 0;
  overflow-wrap: anywhere; }
ul.said { padding-left: 18px; margin-top: 6px; }
.caption { margin: 10px 0 4px; }
.swatch { display: inline-block; width: 11px; height: 11px; flex: none;
  border-radius: 3px; background: var(--own); vertical-align: -1px; }
.ink { color: var(--own); }

.evals td, .evals th { padding: 8px 12px 8px 0; vertical-align: top; }
.evals thead th { color: var(--soft); font-size: 13px; }
.evals tbody tr { border-top: 1px solid var(--line); }
.evals small, .track-row small { color: var(--soft); font-size: 12.5px; }
.evals th small { display: block; }
.evals td { font-variant-numeric: tabular-nums; }
.evals:not(.compared) td:first-of-type { color: var(--soft); }
.evals td div { white-space: nowrap; }
.compared td small { display: block; }
.evaluation .settings-card summary b { max-width: none; }
.below { margin-top: 12px; }
.sides { margin: 12px 0 0; padding: 0; list-style: none; display: grid; gap: 3px;
  font-size: 14px; overflow-wrap: anywhere; }
.sides small { color: var(--soft); font-size: 13px; margin-left: 6px; }
.compared th:first-child { min-width: 150px; }
.compared td, .compared thead th + th { min-width: 110px; }
.compared .config { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
    "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; color: var(--ink); }
.scroll { overflow-x: auto; }
.plain { width: auto; min-width: 50%; font-size: 13px; }
.plain td, .plain th { padding: 4px 18px 4px 0; }
.plain th { overflow-wrap: normal; max-width: 420px; }
.plain td { text-align: right; font-variant-numeric: tabular-nums; }
.plain thead th { color: var(--soft); }
.plain thead th:not(:first-child) { text-align: right; }
.plain tbody tr { border-top: 1px solid var(--grid); }
.inner { padding: 0 18px 14px; }

.track-row { display: grid; align-items: center; gap: 0 14px;
  grid-template-columns: minmax(0, 9.5em) minmax(0, 1fr) 52px;
  padding: 3px 0; }
.intervals .track-row {
  grid-template-columns: minmax(0, 9em) minmax(0, 1fr) 152px; }
.track-name small { display: block; }
.compares > .tracks:first-child,
.compares > .tracks:first-child ~ .chart:nth-child(even):last-child {
  grid-column: 1 / -1; }
.charts:has(> .tracks:only-child) { grid-template-columns: minmax(0, 1fr); }
.track-name { font-size: 13px; line-height: 1.35; overflow-wrap: anywhere; }
.track-value { font-size: 13px; line-height: 18px; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.track-value span { display: block; }
.track-plot { display: block; width: 100%; overflow: visible; }
.track-plot rect { fill: var(--own); fill-opacity: 0.75; }
.track-plot circle { fill: var(--own); stroke: none; }
.track-plot .whisker, .dots .whisker { stroke: var(--own); stroke-width: 1.6; }
.chart .dots path.whisker { stroke-dasharray: none; }
.bars .whisker { stroke: var(--ink); stroke-opacity: 0.75; }
.half { stroke: var(--soft); stroke-dasharray: 2 3; }
.chart text.first { text-anchor: start; }
.chart text.mid { text-anchor: middle; }
.chart text.last { text-anchor: end; }
.leader { stroke: var(--soft); stroke-opacity: 0.7; stroke-width: 0.9; }
.radar text { fill: var(--ink); }
.area path { fill: var(--own); fill-opacity: 0.1; stroke: var(--own);
  stroke-width: 1.8; stroke-linejoin: round; }
.area circle { fill: var(--own); }

.verdicts .sample { gap: 22px; align-items: start; font-size: 13.5px;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.verdicts .c4 { grid-template-columns: 0.9fr 1.2fr 1.2fr 1.1fr; }
.verdicts .c3 { grid-template-columns: 1fr 1.2fr 1.2fr; }
.verdicts .c2 { grid-template-columns: 1fr 2.4fr; }
.long summary { cursor: pointer; list-style: none; }
.long summary::-webkit-details-marker { display: none; }
.long[open] summary .text { display: none; }
.more { color: var(--blue); font-size: 13px; }
.long[open] .more { display: inline-block; margin-bottom: 4px; }
.long[open] .more::after { content: ": fold"; }
.cell .mark { margin-bottom: 4px; }

@media (max-width: 620px) {
  .track-row, .intervals .track-row { gap: 1px 12px;
    grid-template-columns: minmax(0, 1fr) auto; }
  .track-name small { display: inline; margin-left: 6px; }
  .track-row .track-plot { grid-column: 1 / -1; grid-row: 2; }
  .axis-row > span { display: none; }
  .chart.tracks text { font-size: 12px; }
  .axis-row .track-plot { grid-row: 1; }
  .evals td div { white-space: normal; }
  .evals td small { display: block; }
  .verdicts .sample { grid-template-columns: minmax(0, 1fr); }
  .verdicts .sample.head { display: none; }
  .verdicts .cell::before { content: attr(data-head); display: block;
    color: var(--soft); font-size: 12px; }
  .verdicts .cell + .cell { padding-left: 12px;
    border-left: 3px solid var(--line); }
}
"""
)
