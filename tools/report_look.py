# SPDX-License-Identifier: Apache-2.0
"""How a report looks, and its one script: the read-out under the pointer."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --card: #ffffff; --ink: #1c1e21; --soft: #62676f;
  --line: #e4e4df; --grid: #ecece8; --wash: #f3f3ef;
  --blue: #2563c9; --orange: #c2560c; --teal: #0b7a75;
  --good: #17703f; --good-wash: #e5f4ea; --bad: #a5322b; --bad-wash: #fbeae8;
  --warn: #7a5200; --warn-wash: #fdf4dc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101214; --card: #191c1f; --ink: #e9e9e6; --soft: #a0a6ae;
    --line: #2c3035; --grid: #262a2e; --wash: #202428;
    --blue: #7fb0ff; --orange: #f4a261; --teal: #5cc8c0;
    --good: #79d39b; --good-wash: #16301f; --bad: #f19a92; --bad-wash: #3a1d1b;
    --warn: #ecc873; --warn-wash: #33290f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "Liberation Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0; letter-spacing: -0.02em;
  overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 14px; letter-spacing: -0.01em; }
.eyebrow { margin: 0 0 4px; color: var(--soft); font-size: 13px; }
.facts { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 10px 0 0;
  color: var(--soft); font-size: 14px; }
.facts div { display: flex; gap: 6px; min-width: 0; }
.facts dd { margin: 0; color: var(--ink); overflow-wrap: anywhere; }
.card, .chart, .figure { background: var(--card); border-radius: 12px;
  border: 1px solid var(--line); }
.notes { margin: 20px 0 0; padding: 10px 16px 10px 34px; border-radius: 12px;
  background: var(--warn-wash); color: var(--warn); font-size: 14px;
  overflow-wrap: anywhere; }
.hint { color: var(--soft); font-size: 13px; margin: 8px 0 0; }
.hint:empty { display: none; }
.visually-hidden { position: absolute; width: 1px; height: 1px;
  overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.figures { display: grid; gap: 12px; margin: 24px 0 0;
  grid-template-columns: repeat(4, 1fr); }
.figure { padding: 14px 18px 13px; min-width: 0; }
.figure .name { color: var(--soft); font-size: 13px; }
.figure .value { font-size: 25px; font-weight: 620; line-height: 1.3;
  letter-spacing: -0.015em; font-variant-numeric: tabular-nums; }
.figure .value i { font-style: normal; font-weight: 400; color: var(--soft); }
.figure .detail { color: var(--soft); font-size: 13px; }

.charts, .verified { display: grid; gap: 12px;
  grid-template-columns: repeat(2, minmax(0, 1fr)); }
.verified:has(> :only-child) { grid-template-columns: minmax(0, 1fr); }
.chart { margin: 0; padding: 16px 18px 12px; position: relative; min-width: 0; }
.chart figcaption { overflow-wrap: anywhere; }
.chart .unit { color: var(--soft); font-size: 13px; margin-left: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 2px 0 6px;
  color: var(--soft); font-size: 13px; min-height: 20px; }
.key { display: inline-flex; align-items: center; gap: 6px;
  overflow-wrap: anywhere; }
.key svg { width: 24px; height: 10px; flex: none; }
.plot { display: block; width: 100%; height: auto; overflow: visible;
  touch-action: pan-y; }
.chart path { fill: none; }
.chart text { font-size: 11.5px; fill: var(--soft);
  font-variant-numeric: tabular-nums; }
.chart text.x { text-anchor: middle; }
.chart text.y { text-anchor: end; }
.grid { stroke: var(--grid); }
.axis, .tick { stroke: var(--soft); stroke-opacity: 0.6; }
.line path, .faint path, .dots path, .dashes path {
  stroke-linejoin: round; stroke-linecap: round; }
.line path { stroke: var(--blue); stroke-width: 1.9; }
.line circle { fill: var(--blue); }
.faint path { stroke: var(--blue); stroke-opacity: 0.38; stroke-width: 1; }
.faint circle { display: none; }
.dots path { stroke: var(--orange); stroke-width: 1.6;
  stroke-dasharray: 5 4; stroke-linecap: butt; }
.dots circle { fill: var(--card); stroke: var(--orange); stroke-width: 1.8; }
.dashes path { stroke: var(--teal); stroke-width: 1.7;
  stroke-dasharray: 8 3; stroke-linecap: butt; }
.chosen path, .chosen circle { stroke: var(--blue); }
.rejected path, .rejected circle { stroke: var(--orange); }
.dashes circle, .rejected circle { fill: var(--orange); }
.chart path.band { fill: var(--orange); fill-opacity: 0.13;
  stroke: var(--orange); stroke-opacity: 0.35; stroke-width: 0.8; }
.alone path { display: none; }
.gap { stroke: var(--orange); stroke-width: 5; stroke-opacity: 0.25; }
.chart text.value { fill: var(--ink); }
.rule path { stroke: var(--soft); stroke-width: 1.4; stroke-dasharray: 2 3; }
.pointer { stroke: var(--soft); stroke-opacity: 0.7; }
.readout { position: absolute; z-index: 2; pointer-events: none; top: 62px;
  padding: 6px 10px; border-radius: 8px; background: var(--ink);
  color: var(--card); font-size: 12.5px; line-height: 1.45; max-width: 75%;
  font-variant-numeric: tabular-nums; white-space: pre-line; }

table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 400; overflow-wrap: anywhere; }
.tablecard { padding: 10px 18px 14px; }
.halves { display: grid; gap: 0 44px; grid-auto-flow: column;
  grid-auto-columns: minmax(0, 1fr); align-items: start; }
.accuracy td, .accuracy th { padding: 8px 0 8px 12px; }
.accuracy:not(:only-child) :is(td, th) { padding-top: 4px; padding-bottom: 4px; }
.accuracy tr > :first-child { padding-left: 0; }
.accuracy td, .accuracy thead th + th { text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.accuracy thead th { color: var(--soft); font-size: 13px; }
.accuracy tbody tr { border-top: 1px solid var(--line); }
.accuracy:first-child tbody tr:first-child th { font-weight: 620; }
.accuracy { table-layout: fixed; }
.accuracy th { width: 30%; }
.accuracy .bars { width: 25%; }
.accuracy thead th + th:not(.bars) { width: 15%; white-space: normal; }
.track { display: block; height: 7px; border-radius: 4px; overflow: hidden;
  background: var(--wash); margin: 3px 0; }
.bar { display: block; height: 100%; border-radius: 4px; }
.bar.before { background: var(--soft); opacity: 0.55; }
.bar.after { background: var(--orange); }
.gain { color: var(--soft); }

.samples { padding: 0 0 12px; overflow: hidden; }
.sample { display: grid; gap: 28px; padding: 12px 18px;
  border-top: 1px solid var(--line); }
.two .sample { grid-template-columns: 1.15fr 1fr 1fr; }
.one .sample { grid-template-columns: 1fr 1.4fr; }
.sample.head { border: 0; color: var(--soft); font-size: 13px;
  padding-bottom: 9px; background: var(--wash); padding-top: 9px; }
.cell { min-width: 0; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; overflow: hidden auto;
  max-height: 300px; unicode-bidi: isolate; }
div.text { contain: paint; }
.cell[data-when] .text { font: 13px/1.55 ui-monospace, "SF Mono", Menlo,
  Consolas, "DejaVu Sans Mono", monospace; }
.kind, .mark { display: inline-block; border-radius: 999px; padding: 1px 9px;
  font-size: 12px; flex: none; }
.kind { background: var(--wash); color: var(--soft); }
.pair { display: flex; justify-content: space-between; gap: 12px;
  align-items: flex-start; }
div.text { min-width: 0; }
.right { background: var(--good-wash); color: var(--good); }
.wrong { background: var(--bad-wash); color: var(--bad); }
.reference { margin-top: 2px; font-size: 14px; color: var(--soft); }
.reference .text { color: var(--ink); }
.cut { color: var(--soft); font-style: italic; font-size: 13px; }
.samples > .hint, .samples > details > summary { padding: 0 18px; }
.samples > details { border-top: 1px solid var(--line); }
.samples > details > summary { padding: 11px 18px; color: var(--blue);
  cursor: pointer; }

.settings-card details { border-top: 1px solid var(--line); }
.settings-card details:first-child { border-top: 0; }
.settings-card > .hint { padding: 0 18px 12px; }
.settings-card summary { display: flex; gap: 12px; padding: 10px 18px;
  cursor: pointer; align-items: baseline; list-style: none; }
.settings-card summary::-webkit-details-marker { display: none; }
.settings-card summary::before { content: "\\25B8"; color: var(--soft);
  flex: none; }
.settings-card details[open] > summary::before { content: "\\25BE"; }
.settings-card summary b { flex: none; max-width: 50%; font-weight: 560;
  overflow: hidden; text-overflow: ellipsis; }
.preview { color: var(--soft); font-size: 13px; flex: 1; min-width: 0;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.size { color: var(--soft); font-size: 13px; flex: none; }
.wide { overflow-x: auto; padding: 0 18px 12px 40px; }
.settings th, .settings td { padding: 4px 0; vertical-align: top;
  border-top: 1px solid var(--grid); font-size: 13px; }
.settings th { color: var(--soft); padding-right: 18px; width: 34%; }
.settings td { overflow-wrap: anywhere; white-space: pre-wrap;
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
    monospace; }
.settings tr:first-child > * { border-top: 0; }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; }

@media (min-width: 861px) {
  .figures:has(> :nth-child(9):last-child) {
    grid-template-columns: repeat(3, 1fr); }
  .figures:has(> :nth-child(10):last-child) {
    grid-template-columns: repeat(5, 1fr); }
}
@media (max-width: 860px) {
  .figures { grid-template-columns: repeat(2, 1fr); }
  .charts, .verified { grid-template-columns: minmax(0, 1fr); }
  .halves { grid-auto-flow: row; }
  .accuracy + .accuracy thead { display: none; }
  .accuracy + .accuracy { border-top: 1px solid var(--line); }
}
@media (max-width: 620px) {
  main { padding: 22px 14px 48px; }
  h1 { font-size: 25px; }
  .figures { gap: 8px; }
  .figure { padding: 11px 13px; }
  .figure .value { font-size: 20px; }
  .chart { padding: 14px 12px 10px; }
  .chart text { font-size: 14px; }
  .two .sample, .one .sample { grid-template-columns: minmax(0, 1fr);
    gap: 10px; }
  .sample.head { display: none; }
  .cell[data-when] { padding-left: 12px; border-left: 3px solid var(--line); }
  .cell[data-when]::before { content: attr(data-when); display: block;
    color: var(--soft); font-size: 12px; }
  .preview { display: none; }
  .size { margin-left: auto; }
  .wide { padding-left: 18px; }
}
@media print { details > * { display: block; } }
"""

# Values are set as text and never as markup: names of metrics are anyone's.
SCRIPT = """
for (const plot of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(plot.dataset.chart);
  const [left, right, top, bottom] = chart.plot;
  const [low, high] = chart.x;
  const rule = document.createElementNS("http://www.w3.org/2000/svg", "path");
  rule.setAttribute("class", "pointer");
  const readout = document.createElement("div");
  readout.className = "readout";
  const write = (value) => chart.percent
    ? (100 * value).toFixed(1) + "%"
    : value !== 0 && (Math.abs(value) >= 1e9 || Math.abs(value) < 1e-3)
    ? value.toExponential(2)
    : value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
  const nearest = (points, x) => points.reduce((best, point) =>
    Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const scale = plot.viewBox.baseVal.width / box.width;
    const share = ((event.clientX - box.left) * scale - left) / (right - left);
    if (share < -0.03 || share > 1.03) return hide();
    const wanted = low + share * (high - low);
    const found = chart.curves.map((curve) => nearest(curve.points, wanted));
    const at = nearest(found, wanted)[0];
    const across = left + (right - left) * (at - low) / (high - low);
    rule.setAttribute("d", `M${across} ${top}V${bottom}`);
    const lines = chart.curves.map((curve, i) => {
      const step = found[i][0] === at ? "" :
        ` (${chart.label} ${found[i][0].toLocaleString("en-US")})`;
      const [, value, ...ends] = found[i];
      const interval = ends.length ? ` (${ends.map(write).join(" to ")})` : "";
      return `${curve.name}: ${write(value)}${interval}${step}`;
    });
    readout.textContent =
      `${chart.label} ${at.toLocaleString("en-US")}\\n${lines.join("\\n")}`;
    plot.append(rule);
    plot.parentNode.append(readout);
    const card = plot.parentNode.getBoundingClientRect();
    const x = box.left - card.left + across / scale;
    readout.style.left = share < 0.5 ? `${x + 12}px` : "auto";
    readout.style.right = share < 0.5 ? "auto" :
      `${plot.parentNode.clientWidth - x + 12}px`;
  });
  const hide = () => { rule.remove(); readout.remove(); };
  plot.addEventListener("pointerleave", hide);
}
"""
