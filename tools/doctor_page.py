# SPDX-License-Identifier: Apache-2.0
"""The doctor's page: findings and rows in one HTML file that opens from disk.

It asks nothing of the network and runs no script: texts of strangers' rows are
on it, all of them escaped.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from ramjax.data.findings import Finding, Place, Severity
from ramjax.tools import doctor_figures, doctor_rows, report_look, report_text
from ramjax.tools.doctor_rows import Piece, Section, ShownRow

# Tokens of a prompt or an answer on the page, half of them from its end.
_MOST_TOKENS = 3000

_STYLE = """
.verdict { display: inline-block; margin: 14px 0 0; padding: 3px 14px;
  border-radius: 999px; font-size: 14px; }
.clean { background: var(--good-wash); color: var(--good); }
.note { background: var(--wash); color: var(--soft); }
.warning { background: var(--warn-wash); color: var(--warn); }
.error { background: var(--bad-wash); color: var(--bad); }
.findings { padding: 4px 18px; }
.findings td, .findings th { padding: 11px 14px 11px 0; vertical-align: top; }
.findings tbody tr { border-top: 1px solid var(--line); }
.findings thead th { color: var(--soft); font-size: 13px; }
.findings .mark { min-width: 72px; text-align: center; }
.findings code { font-size: 13px; overflow-wrap: anywhere; }
.findings td { overflow-wrap: anywhere; }
.findings .places { font-size: 13px; color: var(--soft); }
.findings a { color: var(--blue); text-decoration: none; }
.findings a:hover { text-decoration: underline; }
.found { width: 44%; }
.remedy { color: var(--soft); }
.notes.refused { margin-top: 6px; }
.keys { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 0 0 12px;
  font-size: 13px; color: var(--soft); }
.keys .t.p { background: var(--line); }
.row { margin: 0 0 12px; padding: 14px 18px 16px; }
.row:target { border-color: var(--blue); }
.row h3 { margin: 0; font-size: 15px; overflow-wrap: anywhere; }
.row h4 { margin: 12px 0 3px; font-size: 13px; font-weight: 400;
  color: var(--soft); }
.row ul { margin: 2px 0 8px; padding: 0; list-style: none; color: var(--soft);
  font-size: 13px; font-variant-numeric: tabular-nums; }
.tokens { font: 13px/1.75 ui-monospace, "SF Mono", Menlo, Consolas,
    "DejaVu Sans Mono", monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; overflow: hidden auto; max-height: 420px;
  unicode-bidi: isolate; contain: paint; }
.t { border-radius: 3px; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; }
.t.p { background: var(--wash); color: var(--soft); }
.t.p:nth-child(even) { background: var(--grid); }
.t.s { background: var(--good-wash); color: var(--good); }
.t.s:nth-child(even) { filter: brightness(0.94); }
.t.c { background: var(--bad-wash); color: var(--bad);
  text-decoration: line-through; }
.t.x { font-weight: 700; outline: 1px solid currentColor;
  outline-offset: -1px; }
.gap { color: var(--soft); font-style: italic; }
@media (max-width: 720px) {
  .findings thead { display: none; }
  .findings tr { display: block; padding: 12px 0; }
  .findings tbody tr:first-child { border-top: 0; }
  .findings td { display: block; width: auto; padding: 3px 0; }
  .row { padding: 12px 13px; }
}
"""

_CLASSES = {"prompt": "p", "supervised": "s", "cut": "c"}
_VERDICTS = {
  Severity.CLEAN: "Nothing found",
  Severity.NOTE: "Notes only",
  Severity.WARNING: "Warnings",
  Severity.ERROR: "Errors",
}


def page(diagnosis: Any) -> str:
  """One HTML document about a run's data.

  Args:
    diagnosis: A `doctor.Diagnosis`.

  Returns:
    The document, without lone surrogates: it can be written as UTF-8.
  """
  data = diagnosis.data
  chosen = doctor_rows.choose(data, diagnosis.found, diagnosis.num_rows)
  rows = [doctor_rows.show(data, source, i) for source, i in chosen]
  anchors = {row.place: f"row-{i}" for i, row in enumerate(rows)}
  name = report_text.escaped(diagnosis.name, 120)
  body = [_header(diagnosis, name), _findings(diagnosis, anchors)]
  if rows:
    shown = "".join(_row(row, anchors[row.place]) for row in rows)
    body.append(f"<section><h2>Rows</h2>{_legend()}{shown}</section>")
  policy = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'"
  )
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>{name} · ramjax doctor</title>\n"
    f"<style>{report_look.STYLE}{_STYLE}</style></head>\n<body><main>\n"
    + "\n".join(body)
    + "\n<footer>Written by <code>ramjax doctor</code>. Rows are numbered from 1"
    " in the order of their source, without rows that are held out or set"
    " aside.</footer>\n</main></body></html>\n"
  )


def _header(diagnosis: Any, name: str) -> str:
  facts = "".join(
    f"<div><dt>{report_text.escaped(key, 80)}</dt>"
    f"<dd>{report_text.escaped(value, 200)}</dd></div>"
    for key, value in doctor_figures.facts(diagnosis.data, diagnosis.algorithm)
  )
  figures = "".join(
    f'<div class="figure"><div class="name">{figure.name}</div>'
    f'<div class="value">{figure.value}</div>'
    f'<div class="detail">{figure.detail}</div></div>'
    for figure in doctor_figures.figures(diagnosis.data)
  )
  worst = max((f.severity for f in diagnosis.found), default=Severity.CLEAN)
  return (
    '<header><p class="eyebrow">ramjax data doctor</p>'
    f"<h1>{name}</h1>"
    f'<dl class="facts">{facts}</dl>'
    f'<p class="verdict {worst.name.lower()}">{_VERDICTS[worst]}</p></header>'
    f'<section class="figures" aria-label="Key figures">{figures}</section>'
  )


def _findings(diagnosis: Any, anchors: dict[Place, str]) -> str:
  body = "<p>Every check passed.</p>"
  if diagnosis.found:
    rows = "".join(_finding(finding, anchors) for finding in diagnosis.found)
    body = (
      '<div class="card findings"><table><thead><tr><th>Severity</th>'
      "<th>What was found</th><th>What to do</th></tr></thead>"
      f"<tbody>{rows}</tbody></table></div>"
    )
  refused = "".join(
    f"<li>{report_text.escaped(reason, 400)}</li>"
    for reason in diagnosis.refused
  )
  if refused:
    body += (
      '<p class="hint">Set aside (the first of each source):</p>'
      f'<ul class="notes refused">{refused}</ul>'
    )
  return f"<section><h2>Findings</h2>{body}</section>"


def _finding(finding: Finding, anchors: dict[Place, str]) -> str:
  severity = finding.severity.name.lower()
  places = ", ".join(_link(place, anchors) for place in finding.examples)
  if places:
    places = f'<div class="places">{places}</div>'
  return (
    f'<tr><td><span class="mark {severity}">{severity}</span></td>'
    f'<td class="found"><code>{finding.name}</code>'
    f"<div>{report_text.escaped(finding.found, 4000)}</div>{places}</td>"
    f'<td class="remedy">{report_text.escaped(finding.remedy, 1000)}</td></tr>'
  )


def _link(place: Place, anchors: dict[Place, str]) -> str:
  name = report_text.escaped(str(place), 80)
  if place not in anchors:
    return name
  return f'<a href="#{anchors[place]}">{name}</a>'


def _legend() -> str:
  keys = "".join(
    f'<span><span class="t {_CLASSES[kind]}">{text}</span> {meaning}</span>'
    for kind, text, meaning in (
      ("prompt", "prompt", "read only"),
      ("supervised", "supervised", "trained on"),
      ("cut", "cut", "lost to data.max_length"),
    )
  )
  special = '<span><span class="t x">&lt;s&gt;</span> special token</span>'
  return f'<div class="keys">{keys}{special}</div>'


def _row(row: ShownRow, anchor: str) -> str:
  facts = "".join(
    f"<li>{report_text.escaped(fact, 400)}</li>" for fact in row.facts
  )
  sections = "".join(_section(section) for section in row.sections)
  return (
    f'<article class="card row" id="{anchor}">'
    f"<h3>{report_text.escaped(str(row.place), 120)}</h3><ul>{facts}</ul>"
    f"{sections}</article>"
  )


def _section(section: Section) -> str:
  title = ""
  if section.title:
    title = f"<h4>{report_text.escaped(section.title, 200)}</h4>"
  pieces: Sequence[Piece] = section.pieces
  parts = [_token(piece) for piece in pieces[:_MOST_TOKENS]]
  if len(pieces) > _MOST_TOKENS:
    half = _MOST_TOKENS // 2
    gap = f'<span class="gap"> … {len(pieces) - 2 * half:,} tokens … </span>'
    parts = [
      *parts[:half],
      gap,
      *(
        _token(piece)
        for piece in itertools.islice(pieces, len(pieces) - half, None)
      ),
    ]
  return f'{title}<div class="tokens">{"".join(parts)}</div>'


def _token(piece: Piece) -> str:
  special = " x" if piece.special else ""
  text = report_text.escaped(piece.text, len(piece.text))
  return f'<span class="t {_CLASSES[piece.kind]}{special}">{text}</span>'
