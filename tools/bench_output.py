# SPDX-License-Identifier: Apache-2.0
"""What every benchmark does around its measuring.

It checks where figures are to go before anything is measured, prints, and
writes: `--json=OUT` gets everything, `--json=-` prints that instead, `--ledger`
gets a line of headline figures.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.tools import bench_ledger
from ramjax.tools.bench_cases import CaseError
from ramjax.tools.bench_ledger import Figure
from ramjax.trainers import provenance

# Of `--json`: the standard output.
_STDOUT = pathlib.Path("-")


class Measured(NamedTuple):
  """What a benchmark came to.

  Attributes:
    report: For the JSON: all that `bench_ledger.entry` needs but the code, and
      `failures`, if the target has something to keep to.
    lines: For the reader.
    size: For the ledger: what was measured, such as "small" and the rows.
    figures: For the ledger.
  """

  report: dict[str, Any]
  lines: Sequence[str]
  size: str
  figures: Mapping[str, Figure]


def add_options(parser: argparse.ArgumentParser, *, also: str) -> None:
  """Adds `--json` and `--ledger`.

  Args:
    parser: Of the target.
    also: What goes into the JSON besides what is printed.
  """
  parser.add_argument(
    "--json",
    type=pathlib.Path,
    metavar="OUT",
    help=f"also write everything there: {also}; - prints it, and what is"
    " otherwise printed goes to the standard error",
  )
  parser.add_argument(
    "--ledger",
    nargs="?",
    type=pathlib.Path,
    const=bench_ledger.PATH,
    metavar="FILE",
    help="also add the headline figures, with date and commit, to a file that"
    f" `ramjax bench ledger` shows (without a name: {bench_ledger.PATH})",
  )


def run(
  words: Sequence[str],
  argv: Sequence[str],
  args: argparse.Namespace,
  measure: Callable[[argparse.Namespace], Measured],
) -> int:
  """Measures, prints and writes.

  Args:
    words: The command, such as ("bench", "attention").
    argv: The arguments behind it.
    args: The same, parsed.
    measure: From them to what they came to.

  Returns:
    The exit status: 0; 1 if it cannot be measured or written, or falls short.
  """
  try:
    _check(args)
    measured = measure(args)
    prints_json = args.json == _STDOUT
    print(
      "\n".join(measured.lines),
      file=sys.stderr if prints_json else sys.stdout,
    )
    report = dict(
      measured.report,
      code=provenance.code_version(),
      command=["ramjax", *words, *argv],
    )
    if prints_json:
      print(json.dumps(report, indent=1))
    elif args.json is not None:
      args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.ledger is not None:
      line = bench_ledger.entry(report, measured.size, measured.figures)
      bench_ledger.append(args.ledger, line)
  except (ValueError, OSError, CaseError) as error:
    print(f"ramjax {' '.join(words)}: {error}", file=sys.stderr)
    return 1
  return 1 if report.get("failures") else 0


def _check(args: argparse.Namespace) -> None:
  """Refuses what could not be written, before anything is measured."""
  if args.json is not None and not args.json.parent.is_dir():
    raise FileNotFoundError(
      f"--json={args.json}: the folder {args.json.parent} does not exist."
      " Create it first."
    )
  if args.ledger is not None:
    bench_ledger.check(args.ledger)
