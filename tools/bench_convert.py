# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench convert`: speed and memory of conversions, against a copy.

A random model is written as Hugging Face does, converted to a run's folder and
back, each in a process of its own, and compared to the byte. What a conversion
can be measured by is the copy of the same files.
"""

import argparse
import contextlib
import datetime
import math
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ramjax.models import model_difference, tensors
from ramjax.models.hf_folder import FLOAT_DTYPES, HFFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.tools import (
  bench_convert_child,
  bench_machine,
  bench_output,
  bench_table,
  new_folder,
)
from ramjax.tools.bench_convert_child import Conversion
from ramjax.tools.bench_ledger import Figure
from ramjax.tools.bench_output import Measured
from ramjax.tools.random_model import (
  RandomModel,
  sized_config,
  stacked_bytes,
)

# Original, run and export, and a little; one more of them with --keep, whose
# folders stay while the last copy is made.
_DISK_SHARE, _DISK_SHARE_KEPT = 3.2, 4.2
_SHARD_BYTES = 2 * 10**9
_LEAST_GB = 0.01
# What a conversion has to keep to.
MAX_GROWTH_BYTES = 1_500_000_000
MIN_SPEED = 1 / 4
_FORMULA = (
  "speed = seconds of the slower copy / seconds of the conversion. Copies are"
  " of the same files in this run, before and after, by shutil.copyfile."
  " Everything is flushed to disk before each measurement. A conversion flushes"
  " what it wrote, and its seconds include that; a copy does not. Reads find"
  " files as the system has cached them. Seconds of a conversion are without the"
  " start of Python. growth = the most of RssAnon + RssShmem, seen"
  " every 20 ms, above its value after the imports."
)


def main(argv: Sequence[str]) -> int:
  """Measures and prints a table.

  Args:
    argv: The arguments behind `ramjax bench convert`.

  Returns:
    0; 1 if it cannot be measured, or a conversion is too slow, takes too much
    memory or changes a byte.
  """
  args = _parser().parse_args(argv)
  return bench_output.run(("bench", "convert"), argv, args, _run)


def _run(args: argparse.Namespace) -> Measured:
  report = _measure(args)
  report["failures"] = failures(report)
  copied = min(report["copy_seconds"])
  figures = {
    name: Figure(case["seconds"], "s", copied)
    for name, case in report["conversions"].items()
  }
  size = f"{args.gigabytes:g} GB, {args.dtype}"
  return Measured(report, _lines(report), size, figures)


def failures(report: Mapping[str, Any]) -> list[str]:
  """What a report falls short in, as sentences; none if all is well."""
  found = []
  if not report["equal_bytes"]:
    found.append("the model that came back is not the original, to the byte")
  for name, case in report["conversions"].items():
    if case["growth_bytes"] > MAX_GROWTH_BYTES:
      found.append(
        f"{name} took {case['growth_bytes'] / 1e9:.2f} GB of memory, over"
        f" {MAX_GROWTH_BYTES / 1e9:.1f} GB"
      )
    if case["speed"] < MIN_SPEED:
      found.append(
        f"{name} has {case['speed']:.2f} of the speed of a copy, under"
        f" {MIN_SPEED:.2f}"
      )
  return found


def _measure(args: argparse.Namespace) -> dict[str, Any]:
  if bench_convert_child.resident_bytes("self") is None:
    raise ValueError(
      "memory is read from /proc/PID/status, which this system lacks: measure"
      " on Linux."
    )
  machine = bench_machine.describe()
  config = sized_config(int(args.gigabytes * 1e9), args.dtype)
  model = RandomModel(config, args.dtype)
  total = sum(map(tensors.num_bytes, model.specs.values()))
  with _folder(args.dir, keep=args.keep) as folder:
    share = _DISK_SHARE_KEPT if args.keep else _DISK_SHARE
    new_folder.check_space(folder, int(share * total))
    original = folder / "original"
    original.mkdir()
    _say(f"writing {total / 1e9:.2f} GB to {original} ...")
    shard_bytes = min(_SHARD_BYTES, math.ceil(total / 3))
    writer = HFWriter(original, config, model.specs, shard_bytes=shard_bytes)
    tensors.copy(model, writer)
    copies = [_copy(original, folder)]
    run, export = folder / "run", folder / "export"
    conversions = {
      "from-hf": _convert(["from-hf", str(original), str(run)], folder),
      "to-hf": _convert(["to-hf", str(run), str(export)], folder),
    }
    if not args.keep:
      shutil.rmtree(run)
    copies.append(_copy(original, folder))
    _say("comparing every byte ...")
    difference = model_difference.model_difference(
      HFFolder(original), HFFolder(export)
    )
    shards = len(list(original.glob("*.safetensors")))
  slower = max(copies)
  return {
    "target": "convert",
    "device_name": bench_machine.device_name("cpu"),
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "machine": machine,
    "versions": bench_machine.versions(
      ("ramjax", "numpy", "jax", "tensorstore", "orbax-checkpoint")
    ),
    "formula": _FORMULA,
    "bytes": total,
    "dtype": args.dtype,
    "tensors": len(model.specs),
    "layers": config.num_layers,
    "shards": shards,
    "largest_stacked_bytes": stacked_bytes(config, args.dtype),
    "folder": str(folder),
    "kept": args.keep,
    "copy_seconds": copies,
    "conversions": {
      name: {**measured._asdict(), "speed": slower / measured.seconds}
      for name, measured in conversions.items()
    },
    "equal_bytes": difference.is_none,
    "sha256": [digest.total for digest in difference.digests],
    "limits": {"growth_bytes": MAX_GROWTH_BYTES, "speed": MIN_SPEED},
  }


@contextlib.contextmanager
def _folder(
  parent: pathlib.Path | None, *, keep: bool
) -> Iterator[pathlib.Path]:
  """A new folder inside `parent`, removed at the end unless it is kept."""
  if parent is not None and not parent.is_dir():
    raise FileNotFoundError(f"--dir={parent} is not a folder. Create it first.")
  folder = pathlib.Path(tempfile.mkdtemp(prefix="ramjax-bench-", dir=parent))
  try:
    yield folder
  finally:
    if not keep:
      shutil.rmtree(folder)


def _copy(original: pathlib.Path, folder: pathlib.Path) -> float:
  """Seconds of a copy of a folder's files, which is removed again."""
  _say("copying the files ...")
  target = folder / "copy"
  target.mkdir()
  os.sync()
  started = time.perf_counter()
  for path in sorted(original.iterdir()):
    shutil.copyfile(path, target / path.name)
  seconds = time.perf_counter() - started
  shutil.rmtree(target)
  return seconds


def _convert(argv: Sequence[str], folder: pathlib.Path) -> Conversion:
  _say(f"ramjax convert {' '.join(argv)} ...")
  os.sync()
  return bench_convert_child.run(argv, folder / f"{argv[0]}.log")


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _lines(report: Mapping[str, Any]) -> list[str]:
  """The table and what it comes to."""
  machine, total = report["machine"], report["bytes"]
  opening = [
    f"machine: {machine['cpu']}, {machine['usable_cores']} cores;"
    f" {', '.join(f'{k} {v}' for k, v in report['versions'].items())}",
    f"model: {total / 1e9:.2f} GB of {report['dtype']}, {report['tensors']}"
    f" tensors in {report['shards']} files; the largest parameter, stacked:"
    f" {report['largest_stacked_bytes'] / 1e9:.2f} GB",
    *bench_machine.warnings(machine),
  ]
  header = f"{'seconds':>9}{'GB/s':>7}{'of copying':>12}{'memory, MB':>12}"
  table = [f"{'':<13}{header}{'start, s':>10}"]
  before, after = report["copy_seconds"]
  for name, seconds in (("copy, before", before), ("copy, after", after)):
    table.append(
      f"{name:<13}{seconds:>9.2f}{total / 1e9 / seconds:>7.2f}"
      f"{max(before, after) / seconds:>12.2f}"
    )
  for name, case in report["conversions"].items():
    table.append(
      f"{name:<13}{case['seconds']:>9.2f}"
      f"{total / 1e9 / case['seconds']:>7.2f}{case['speed']:>12.2f}"
      f"{case['growth_bytes'] / 1e6:>12,.0f}{case['start_seconds']:>10.1f}"
    )
  closing = [report["formula"]]
  if report["equal_bytes"]:
    closing.append("There and back: every tensor is equal to the byte.")
  if report["kept"]:
    closing.append(f"kept: {report['folder']}")
  closing += [f"FAILED: {failure}." for failure in report["failures"]]
  opening, closing = (
    [*map(bench_table.wrapped, part)] for part in (opening, closing)
  )
  return [*opening, "", *table, "", *closing]


def _gigabytes(text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not _LEAST_GB <= value < math.inf:
    raise argparse.ArgumentTypeError(
      f"{text!r} is no number of {_LEAST_GB} or more"
    )
  return value


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench convert",
    description=(
      "Measure `ramjax convert` from-hf and to-hf on a random model: time"
      " against a copy of\nthe same files, and growth of memory, each in a"
      " process of its own. Exit status 1 if a\nconversion has under a quarter"
      " of the speed of a copy, takes over 1.5 GB, or changes a\nbyte. Needs"
      " 3.2 times the size as free disk (4.2 with --keep), and Linux.\n\nLeave"
      " the machine alone meanwhile."
    ),
    epilog="example:\n  ramjax bench convert --gigabytes=20 --json=convert.json",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--gigabytes",
    type=_gigabytes,
    default=6.0,
    metavar="NUM",
    help="of the model's tensors, about (default: %(default)g)",
  )
  parser.add_argument(
    "--dir",
    type=pathlib.Path,
    metavar="FOLDER",
    help="where the files go, on a disk: files in memory (tmpfs) would count as"
    " memory (default: the system's folder for temporary files)",
  )
  parser.add_argument(
    "--dtype",
    choices=FLOAT_DTYPES,
    default="bfloat16",
    help="of the model (default: %(default)s)",
  )
  parser.add_argument(
    "--keep", action="store_true", help="leave the files where they are"
  )
  bench_output.add_options(parser, also="seconds, bytes, versions, formula")
  return parser
