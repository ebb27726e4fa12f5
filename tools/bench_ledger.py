# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench ledger`: figures of benchmarks by commit, one line each.

The file is only ever added to, each time by one write at its end, so that two
benchmarks cannot mix their lines. A line that cannot be read stops whoever
comes to it, with its number: nothing is passed over, and nothing written anew.
"""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.tools import bench_machine, bench_table

# Of the folder that a command is run in, which is the checkout's.
PATH = pathlib.Path("bench/ledger.jsonl")
_FIELDS = {
  "date": str,
  "commit": (str, type(None)),
  "modified": (bool, type(None)),
  "target": str,
  "size": str,
  "device": str,
  "busy": bool,
  "versions": dict,
  "figures": dict,
}
_NUMBER = (int, float)
# What two entries have in common whose figures can be compared.
_ALIKE = ("target", "size", "device")


class Figure(NamedTuple):
  """One headline figure.

  Attributes:
    value: In `unit`.
    unit: Such as "ms" or "tokens/s".
    floor: What the machine would allow, in the same unit: the least time, or
      the highest rate; of input, the rate that is needed; None where nothing
      says.
  """

  value: float
  unit: str
  floor: float | None = None


def entry(
  report: Mapping[str, Any], size: str, figures: Mapping[str, Figure]
) -> dict[str, Any]:
  """The line of a report.

  Args:
    report: With `target`, `date`, `code`, `machine`, `device_name` and
      `versions`.
    size: What was measured: figures of another are not compared with it.
    figures: By name.
  """
  return {
    "date": report["date"],
    "commit": report["code"]["commit"],
    # Whether the checkout was not that commit alone.
    "modified": report["code"]["modified"],
    "target": report["target"],
    "size": size,
    "device": report["device_name"],
    "busy": bench_machine.is_busy(report["machine"]),
    "versions": dict(report["versions"]),
    "figures": {name: figure._asdict() for name, figure in figures.items()},
  }


def append(path: pathlib.Path, line: Mapping[str, Any]) -> None:
  """Adds one entry, by one write.

  Raises:
    ValueError: A line of the file is not an entry; nothing is added.
    OSError: It cannot be written to.
  """
  read(path)
  data = json.dumps(line, allow_nan=False).encode() + b"\n"
  descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
  try:
    written = os.write(descriptor, data)
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
  if written < len(data):
    raise OSError(
      f"{path}: only {written} of {len(data)} bytes were written. Make room on"
      " the disk, and take the unfinished last line out."
    )


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """Every entry, oldest first; none where there is no file.

  Raises:
    ValueError: A line is not an entry; says which.
  """
  if not path.exists():
    return []
  data = path.read_bytes()
  if data and not data.endswith(b"\n"):
    number = data.count(b"\n") + 1
    raise ValueError(f"{path}, line {number}: it was not written to its end.")
  return [
    _checked(line, f"{path}, line {number}")
    for number, line in enumerate(data.split(b"\n")[:-1], start=1)
  ]


def _checked(line: bytes, where: str) -> dict[str, Any]:
  try:
    found = json.loads(line)
  except ValueError as error:
    raise ValueError(f"{where}: it is no JSON ({error}).") from error
  if not isinstance(found, dict):
    raise ValueError(f"{where}: it is no object.")
  for name, kind in _FIELDS.items():
    if name not in found or not isinstance(found[name], kind):
      raise ValueError(f"{where}: {name!r} is missing, or of another kind.")
  for name, figure in found["figures"].items():
    if not _is_figure(figure):
      raise ValueError(
        f"{where}: the figure {name!r} is not a value, a unit and a floor."
      )
  return found


def _is_figure(figure: Any) -> bool:
  return (
    isinstance(figure, dict)
    and set(figure) == set(Figure._fields)
    and isinstance(figure["value"], _NUMBER)
    and isinstance(figure["unit"], str)
    and isinstance(figure["floor"], (*_NUMBER, type(None)))
  )


def lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """A table by target, the newest last, with the change of each figure.

  A figure is compared with that of the entry before with the same target, size
  and device, but for those of a busy machine.
  """
  shown: dict[str, list[str]] = {}
  before: dict[tuple[str, ...], Mapping[str, Any]] = {}
  for line in entries:
    key = tuple(line[name] for name in _ALIKE)
    block = shown.setdefault(line["target"], [])
    block += ["", bench_table.wrapped(_heading(line))]
    old = before.get(key, {})
    block += [
      _row(name, figure, old.get(name))
      for name, figure in line["figures"].items()
    ]
    if not line["busy"]:
      before[key] = line["figures"]
  heads = f"{'figure':>20}{'floor':>12}{'change':>12}"
  return [
    line
    for target, block in shown.items()
    for line in (f"{target:<46}{heads}", *block, "")
  ]


def _heading(line: Mapping[str, Any]) -> str:
  commit = (line["commit"] or "no commit")[:9]
  commit += " and changes" if line["modified"] else ""
  busy = "; the machine was BUSY" if line["busy"] else ""
  versions = line["versions"]
  jax = f"; jax {versions['jax']}" if "jax" in versions else ""
  return (
    f"{line['date']}  {commit}; {line['size']}; {line['device']}{jax}{busy}"
  )


def _row(
  name: str, figure: Mapping[str, Any], old: Mapping[str, Any] | None
) -> str:
  change = ""
  if old is not None and old["unit"] == figure["unit"] and old["value"]:
    change = f"{100 * (figure['value'] / old['value'] - 1):+.1f} %"
  value = f"{bench_table.rounded(figure['value'])} {figure['unit']}"
  floor = figure["floor"]
  floor = "-" if floor is None else bench_table.rounded(floor)
  return f"  {name:<44}{value:>20}{floor:>12}{change:>12}".rstrip()


def main(argv: Sequence[str]) -> int:
  """Prints a ledger.

  Args:
    argv: The arguments behind `ramjax bench ledger`.

  Returns:
    The exit status: 0, or 1 with a message.
  """
  args = _parser().parse_args(argv)
  try:
    if not args.file.is_file():
      raise FileNotFoundError(
        f"{args.file} is not a file: run this in the checkout, or name a"
        " ledger. Benchmarks write one with --ledger."
      )
    entries = read(args.file)
    targets = [line["target"] for line in entries]
    if args.target and args.target not in targets:
      raise ValueError(
        f"--target={args.target}: {args.file} has"
        f" {', '.join(sorted(set(targets))) or 'nothing yet'}."
      )
  except (ValueError, OSError) as error:
    print(f"ramjax bench ledger: {error}", file=sys.stderr)
    return 1
  wanted = [e for e in entries if args.target in ("", e["target"])]
  print("\n".join(lines(wanted) or [f"{args.file}: nothing yet"]))
  return 0


def check(path: pathlib.Path) -> None:
  """Refuses a ledger that cannot be added to, before anything is measured.

  Raises:
    FileNotFoundError: Its folder does not exist.
    ValueError: A line of it is not an entry.
  """
  if not path.parent.is_dir():
    raise FileNotFoundError(
      f"--ledger={path}: the folder {path.parent} does not exist. Create it"
      " first, or run this in the checkout."
    )
  read(path)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench ledger",
    description=(
      "Show the figures that benchmarks kept with --ledger: by target, the"
      " newest last, each\nbeside what the machine would allow (the least time,"
      " or the highest rate) and its change\nfrom the entry before with the same"
      " size and device. Entries of a busy machine are shown,\nand nothing is"
      " compared with them."
    ),
    epilog=(
      "examples:\n  ramjax bench attention --ledger\n  ramjax bench ledger"
      " --target=attention"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "file",
    nargs="?",
    type=pathlib.Path,
    default=PATH,
    metavar="FILE",
    help="a ledger (default: %(default)s)",
  )
  parser.add_argument(
    "--target", default="", metavar="TARGET", help="show this one alone"
  )
  return parser
