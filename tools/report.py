# SPDX-License-Identifier: Apache-2.0
"""`ramjax report`: one page about one training run.

The page is a single HTML file that opens from disk. It asks nothing of the
network, and its policy lets a browser run no script but its own, so that
whatever a model wrote stays text.
"""

import argparse
import base64
import hashlib
import html
import pathlib
import sys
from collections.abc import Sequence

from ramjax.tools import (
  report_calibration,
  report_charts,
  report_headline,
  report_look,
  report_run,
  report_samples,
  report_tables,
  report_text,
)
from ramjax.tools.report_run import Run


def page(run: Run) -> str:
  """The report of a run as one HTML document.

  Args:
    run: What `report_run.read_run` found.

  Returns:
    The document, without lone surrogates: it can be written as UTF-8.
  """
  algorithm = (run.config or {}).get("algorithm")
  charts = report_charts.charts(run.curves, algorithm=algorithm)
  sections = [report_headline.headline(run)]
  if charts.first:
    sections.append(_section("Curves", _grid(charts.first)))
  sections += _answers(run, charts.of_answers)
  accuracies = report_tables.accuracies(run.curves, run.samples)
  if accuracies is not None:
    tables = report_tables.accuracy_tables(accuracies)
    chart = report_charts.verified_chart(run.curves)
    if chart and len(accuracies.rows) > report_tables.MOST_IN_ONE:
      # Beside a long table there is no room for it.
      charts.more.insert(0, chart)
      chart = ""
    body = (
      f'<div class="verified"><div class="card tablecard">{tables}</div>'
      f"{chart}</div>"
    )
    sections.append(_section("Verified accuracy, before and after", body))
  if run.samples:
    body = report_samples.samples_section(run.samples)
    sections.append(_section("Samples, before and after", body))
  if charts.more:
    body = _grid(charts.more)
    if left := charts.left_out:
      body += f'<p class="hint">{left:,} more metrics have no chart.</p>'
    sections.append(_section("More curves", body))
  for title, tree in (("Config", run.config), ("Provenance", run.manifest)):
    if tree is not None:
      body = report_tables.settings(tree)
      body = f'<div class="card settings-card">{body}</div>'
      sections.append(_section(title, body))
  name = html.escape(report_text.visible(run.name, 120))
  digest = hashlib.sha256(report_look.SCRIPT.encode()).digest()
  policy = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src"
    f" 'sha256-{base64.b64encode(digest).decode()}'; base-uri 'none';"
    " form-action 'none'"
  )
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>{name} · ramjax report</title>\n"
    f"<style>{report_look.STYLE}</style></head>\n<body><main>\n"
    + "\n".join(sections)
    + "\n<footer>Written by <code>ramjax report</code>.</footer>\n"
    f"</main><script>{report_look.SCRIPT}</script></body></html>\n"
  )


def _answers(run: Run, charts: list[str]) -> list[str]:
  """What compares answers: curves, and accuracy by subset and confidence."""
  calibration = report_calibration.calibration_chart(run.curves)
  subsets = report_tables.subset_accuracies(run.curves)
  sections = []
  if subsets is None or len(subsets.rows) > report_tables.MOST_IN_ONE:
    charts, calibration = [*charts, *filter(None, [calibration])], ""
  if charts:
    sections.append(_section("Better and worse answers", _grid(charts)))
  if subsets is not None:
    tables = report_tables.accuracy_tables(subsets)
    body = (
      f'<div class="verified"><div class="card tablecard">{tables}</div>'
      f"{calibration}</div>"
    )
    sections.append(_section("Held-out pairs", body))
  return sections


def _section(title: str, body: str) -> str:
  return f"<section><h2>{title}</h2>{body}</section>"


def _grid(charts: list[str]) -> str:
  return f'<div class="charts">{"".join(charts)}</div>'


def main(argv: Sequence[str] | None = None) -> int:
  """Runs `ramjax report` and prints the path of the page it wrote.

  Args:
    argv: Arguments after the command's name; None takes the process's own.

  Returns:
    The exit status: 0, or 1 if there is no run to report or no place to write.
  """
  parser = argparse.ArgumentParser(
    prog="ramjax report",
    description=(
      "Writes one self-contained HTML page about a training run: key figures,"
      " curves, verified accuracy and samples before and after, config and"
      " provenance. It opens from disk and loads nothing from anywhere."
    ),
    epilog=(
      "WORKDIR needs metrics.jsonl; samples.jsonl, config.json and"
      " manifest.json are shown if they are there. A run may be reported while"
      " it is still training."
    ),
  )
  parser.add_argument(
    "workdir",
    metavar="WORKDIR",
    type=pathlib.Path,
    help="the folder that `ramjax train --workdir=WORKDIR` wrote",
  )
  parser.add_argument(
    "--out",
    metavar="FILE",
    type=pathlib.Path,
    help="where to write the page (default: WORKDIR/report.html)",
  )
  args = parser.parse_args(argv)
  out = args.out or args.workdir / "report.html"
  try:
    run = report_run.read_run(args.workdir)
    if not out.parent.is_dir():
      raise FileNotFoundError(
        f"--out={str(out)!r}: the folder {str(out.parent)!r} does not exist."
        " Make it first."
      )
    out.write_text(page(run), encoding="utf-8")
  except (OSError, ValueError) as error:
    print(f"ramjax report: {error}", file=sys.stderr)
    return 1
  for note in run.notes:
    print(report_text.visible(note, 400))
  print(out)
  return 0


if __name__ == "__main__":
  sys.exit(main())
