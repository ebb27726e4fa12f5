# SPDX-License-Identifier: Apache-2.0
"""`ramjax report`: one page about a training run, or about several.

The page is a single HTML file that opens from disk.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from ramjax.evals import replaced_file
from ramjax.tools import (
  report_calibration,
  report_charts,
  report_compare,
  report_eval_section,
  report_frame,
  report_headline,
  report_run,
  report_samples,
  report_sides,
  report_tables,
  report_text,
)
from ramjax.tools.report_run import Run

PAGE = "report.html"
COMPARISON = "comparison.html"


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
    sections.append(
      report_frame.section("Curves", report_frame.grid(charts.first))
    )
  sections += [
    report_frame.section(*part)
    for part in report_eval_section.overview(run.evaluations)
  ]
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
    sections.append(
      report_frame.section("Verified accuracy, before and after", body)
    )
  if run.samples:
    body = report_samples.samples_section(run.samples)
    sections.append(report_frame.section("Samples, before and after", body))
  sections += [
    report_frame.section(*part)
    for part in report_eval_section.details(run.evaluations)
  ]
  if charts.more:
    body = report_frame.grid(charts.more)
    if left := charts.left_out:
      body += f'<p class="hint">{left:,} more metrics have no chart.</p>'
    sections.append(report_frame.section("More curves", body))
  for title, tree in (("Config", run.config), ("Provenance", run.manifest)):
    if tree is not None:
      body = report_tables.settings(tree)
      body = f'<div class="card settings-card">{body}</div>'
      sections.append(report_frame.section(title, body))
  return report_frame.document(run.name, sections)


def _answers(run: Run, charts: list[str]) -> list[str]:
  """What compares answers: curves, and accuracy by subset and confidence."""
  calibration = report_calibration.calibration_chart(run.curves)
  subsets = report_tables.subset_accuracies(run.curves)
  sections = []
  if subsets is None or len(subsets.rows) > report_tables.MOST_IN_ONE:
    charts, calibration = [*charts, *filter(None, [calibration])], ""
  if charts:
    sections.append(
      report_frame.section(
        "Better and worse answers", report_frame.grid(charts)
      )
    )
  if subsets is not None:
    tables = report_tables.accuracy_tables(subsets)
    body = (
      f'<div class="verified"><div class="card tablecard">{tables}</div>'
      f"{calibration}</div>"
    )
    sections.append(report_frame.section("Held-out pairs", body))
  return sections


def main(argv: Sequence[str] | None = None) -> int:
  """Runs `ramjax report` and prints the path of the page it wrote.

  Args:
    argv: Arguments after the command's name; None takes the process's own.

  Returns:
    The exit status: 0, or 1 if there is nothing to report or no place to write.
  """
  args = _parser().parse_args(argv)
  out = args.out or _default(args.folders)
  try:
    if out.is_dir():
      raise ValueError(f"--out={str(out)!r} is a folder: name a file in it.")
    if out.exists() and out.suffix.lower() != ".html":
      raise ValueError(
        f"--out={str(out)!r} exists and is no page, whose name ends in .html: it"
        " is left as it is. Give another name."
      )
    text, notes = _report(args.folders)
    if not out.parent.is_dir():
      raise FileNotFoundError(
        f"--out={str(out)!r}: the folder {str(out.parent)!r} does not exist."
        " Make it first."
      )
    replaced_file.replace_file(out, [text])
  except (OSError, ValueError) as error:
    print(f"ramjax report: {error}", file=sys.stderr)
    return 1
  for note in notes:
    print(report_text.visible(note, 400))
  print(out)
  return 0


def _default(folders: Sequence[pathlib.Path]) -> pathlib.Path:
  """Where the page goes: a comparison into none of what it compares."""
  return folders[0] / PAGE if len(folders) == 1 else pathlib.Path(COMPARISON)


def _report(folders: Sequence[pathlib.Path]) -> tuple[str, list[str]]:
  """The page, and what is to be said on the terminal."""
  if len(folders) == 1 and not report_sides.is_evaluation(folders[0]):
    run = report_run.read_run(folders[0])
    return page(run), run.notes
  sides = report_sides.read(folders)
  notes = [f"{side.name}: {note}" for side in sides for note in side.notes]
  if len(sides) == 1:
    return report_compare.alone(sides[0]), notes
  return report_compare.page(sides), notes


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax report",
    description=(
      "Write one self-contained HTML page. Of one run: key figures, curves,"
      " evaluations, verified\naccuracy and samples before and after, config and"
      " provenance. Of several: final figures, curves,\nevaluations and answers"
      " side by side, and what the configs differ in. It opens from disk and"
      " loads\nnothing from anywhere."
    ),
    epilog=(
      "A run needs metrics.jsonl, or rounds.jsonl if it is in rounds;"
      " samples.jsonl, config.json,\nmanifest.json and the evaluations in its"
      " folder evals, and in those of its rounds, are shown if\nthey are there. A"
      " run may be reported while it is still training.\n\n"
      "examples:\n"
      "  ramjax report runs/mine\n"
      "  ramjax report runs/sft runs/dpo --out=sft-and-dpo.html\n"
      "  ramjax report evals/before evals/after"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "folders",
    metavar="FOLDER",
    nargs="+",
    type=pathlib.Path,
    help="of a run (--workdir of `ramjax train`) or of one evaluation (--out of"
    f" `ramjax eval`); at most {report_sides.MOST}",
  )
  parser.add_argument(
    "--out",
    metavar="FILE",
    type=pathlib.Path,
    help=f"where to write the page; an .html file there is replaced (default: {PAGE} in"
    f" the folder; of several, {COMPARISON} where the command runs)",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
