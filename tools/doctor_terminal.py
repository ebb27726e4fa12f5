# SPDX-License-Identifier: Apache-2.0
"""What the doctor prints: rows with marked tokens, then the findings."""

import itertools
import os
import shutil
import textwrap
from typing import Any, TextIO

from ramjax.data.findings import Severity
from ramjax.tools import doctor_figures, doctor_rows, report_text
from ramjax.tools.doctor_rows import Piece, ShownRow

# Tokens of a prompt or an answer that are printed, half of them from its end.
_MOST_TOKENS = 240
_WIDEST = 100

_COLOURS = {
  "prompt": "\x1b[2m",
  "supervised": "\x1b[32m",
  "cut": "\x1b[9;31m",
  Severity.NOTE: "\x1b[36m",
  Severity.WARNING: "\x1b[33m",
  Severity.ERROR: "\x1b[31m",
}
_PLAIN = "\x1b[0m"
_BRACKETS = {
  "prompt": ("", ""),
  "supervised": ("[+", "+]"),
  "cut": ("[-", "-]"),
}

_VERDICTS = {
  Severity.CLEAN: "nothing found",
  Severity.NOTE: "notes only",
  Severity.WARNING: "warnings",
  Severity.ERROR: "errors",
}


def text(diagnosis: Any, stream: TextIO, status: int) -> str:
  """What to print.

  Args:
    diagnosis: A `doctor.Diagnosis`.
    stream: Where it will be printed: coloured if that is a terminal and the
      variable NO_COLOR is unset or empty.
    status: The exit status, to be said.
  """
  coloured = stream.isatty() and not os.environ.get("NO_COLOR")
  data = diagnosis.data
  lines = [
    f"{name}: {report_text.visible(value, 200)}"
    for name, value in doctor_figures.facts(data, diagnosis.algorithm)
  ]
  for figure in doctor_figures.figures(data):
    lines.append(f"{figure.name}: {figure.value} ({figure.detail})")
  chosen = doctor_rows.choose(data, (), diagnosis.num_rows)
  if chosen:
    lines += ["", _legend(coloured)]
  for source, index in chosen:
    lines += ["", *_row(doctor_rows.show(data, source, index), coloured)]
  lines.append("")
  for finding in diagnosis.found:
    lines += _finding(finding, coloured)
  lines += [
    f"set aside: {report_text.visible(reason, 400)}"
    for reason in diagnosis.refused
  ]
  worst = max((f.severity for f in diagnosis.found), default=Severity.CLEAN)
  lines.append(f"verdict: {_VERDICTS[worst]} (exit status {status})")
  return _printable("\n".join(lines), stream)


def _printable(whole: str, stream: TextIO) -> str:
  """What the encoding of the stream lacks, as escapes."""
  encoding = stream.encoding or "utf-8"
  return whole.encode(encoding, "backslashreplace").decode(encoding)


def _legend(coloured: bool) -> str:
  kinds = [
    _run([Piece(name, kind)], coloured)
    for name, kind in (
      ("prompt", "prompt"),
      ("supervised", "supervised"),
      ("cut to fit", "cut"),
    )
  ]
  return "tokens: " + ", ".join(kinds)


def _row(row: ShownRow, coloured: bool) -> list[str]:
  lines = [f"--- {report_text.visible(str(row.place), 80)}"]
  lines += [f"    {fact}" for fact in row.facts]
  for section in row.sections:
    if section.title:
      lines.append(f"  {section.title}:")
    body = _run(section.pieces, coloured)
    lines += [f"    {line}" for line in body.split("\n")]
  return lines


def _run(pieces: list[Piece], coloured: bool) -> str:
  """Tokens in a row, those of one kind between marks."""
  shown = pieces
  if len(pieces) > _MOST_TOKENS:
    half = _MOST_TOKENS // 2
    left_out = f" [... {len(pieces) - 2 * half:,} tokens ...] "
    gap = Piece(left_out, "prompt")
    shown = [*pieces[:half], gap, *pieces[-half:]]
  parts = []
  for kind, group in itertools.groupby(shown, key=lambda piece: piece.kind):
    body = "".join(piece.text for piece in group)
    body = report_text.visible(body, len(body))
    if coloured:
      # Set anew on each line, for pagers.
      parts.append(
        "\n".join(
          f"{_COLOURS[kind]}{line}{_PLAIN}" if line else ""
          for line in body.split("\n")
        )
      )
    else:
      before, after = _BRACKETS[kind]
      parts.append(f"{before}{body}{after}")
  return "".join(parts)


def _finding(finding: Any, coloured: bool) -> list[str]:
  label = finding.severity.name
  width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
  lines = textwrap.wrap(
    report_text.visible(f"{label} {finding.name}: {finding.found}", 4000),
    width=max(width, 40),
    subsequent_indent="  ",
  )
  lines += textwrap.wrap(
    f"What to do: {finding.remedy}",
    width=max(width, 40),
    initial_indent="  ",
    subsequent_indent="  ",
  )
  if finding.examples:
    places = ", ".join(map(str, finding.examples))
    lines.append(f"  See {report_text.visible(places, 400)}.")
  if coloured:
    colour = _COLOURS[finding.severity]
    lines[0] = f"{colour}{label}{_PLAIN}{lines[0].removeprefix(label)}"
  return [*lines, ""]
