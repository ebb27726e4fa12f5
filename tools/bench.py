# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench TARGET`: measures speed and memory, alone or against a peer.

A target is a module with `ROWS`, `SIZES`, `prepare` and `compare` (see
`bench_sft`); this one runs its cases and prints what they came to.
"""

import argparse
import datetime
import importlib
import math
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.tools import (
  bench_cases,
  bench_machine,
  bench_output,
  bench_table,
  option_types,
  topologies,
)
from ramjax.tools.bench_cases import Case, Report, Summaries
from ramjax.tools.bench_ledger import Figure
from ramjax.tools.bench_output import Measured

_TARGETS = {
  "sft": "ramjax.tools.bench_sft",
  "preference": "ramjax.tools.bench_preference",
}
# Measured in another way, each by a command of its own.
_COMMANDS = {
  "attention": "ramjax.tools.bench_attention",
  "checkpoint": "ramjax.tools.bench_checkpoint",
  "convert": "ramjax.tools.bench_convert",
  "data": "ramjax.tools.bench_data",
  "ledger": "ramjax.tools.bench_ledger",
  "logps": "ramjax.tools.bench_logps",
  "sample": "ramjax.tools.bench_sample",
}


class _Peer(NamedTuple):
  """Another framework's side.

  Attributes:
    module: Has `require()`, which raises when the peer is not installed.
    framework: That the peer's matmul ceiling is measured in.
  """

  module: str
  framework: str


_PEERS = {"trl": _Peer("ramjax.tools.bench_trl", "torch")}
# Of all targets; each has its own in `SIZES`.
_SIZES = ("tiny", "small", "1b", "8b")
# With a peer every case runs twice, A B A B.
_ROUNDS_AGAINST = 2


def main(argv: Sequence[str]) -> int:
  """Measures a target and prints a table.

  Args:
    argv: The arguments behind `ramjax bench`.

  Returns:
    The exit status: 0, or 1 if it cannot be measured. Wrong arguments exit
    with 2, as argparse does.
  """
  if argv and argv[0] in _COMMANDS:
    command = importlib.import_module(_COMMANDS[argv[0]])
    return command.main(argv[1:])
  args = _parser().parse_args(argv)
  return bench_output.run(("bench",), argv, args, _run)


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _run(args: argparse.Namespace) -> Measured:
  """Runs everything."""
  if args.against:
    importlib.import_module(_PEERS[args.against].module).require()
  target = importlib.import_module(_TARGETS[args.target])
  if args.size not in target.SIZES:
    raise ValueError(
      f"--size={args.size} is not a size of {args.target}: choose one of"
      f" {', '.join(target.SIZES)}."
    )
  rounds = _ROUNDS_AGAINST if args.against else 1
  rows = args.rows or target.ROWS
  machine = bench_machine.describe()
  busy = bench_machine.warnings(machine)
  for warning in busy:
    _say(warning)
  with tempfile.TemporaryDirectory(prefix="ramjax-bench-") as name:
    folder = pathlib.Path(name)
    ceilings = _ceilings(args.against, folder)
    device = ceilings["jax"]["device"]
    _say(f"preparing {rows} ...")
    plan = target.prepare(
      folder,
      rows=rows,
      size=args.size,
      against=args.against,
      device=device,
      steps=math.ceil(args.steps / rounds),
      seconds=args.seconds / rounds,
    )
    made = {}
    for case in plan.setup:
      _say(f"{case.name} ...")
      made[case.name] = bench_cases.run_case(case, folder)
    reports = bench_cases.run_in_turns(plan.cases, rounds, folder, say=_say)
  ceiling = max(measured["best"] for measured in ceilings.values())
  summaries = {
    name: bench_cases.summarise(runs, flops=plan.flops, ceiling=ceiling)
    for name, runs in reports.items()
  }
  findings = target.compare(plan, summaries, made)
  versions = _versions(summaries)
  report = dict(
    target=args.target,
    against=args.against,
    date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    machine=machine,
    device=device,
    device_name=ceilings["jax"]["device_name"],
    versions=versions,
    ceilings=ceilings,
    ceiling_flops_per_s=ceiling,
    **plan.facts,
    setup=made,
    cases=summaries,
    findings=[finding.figures for finding in findings],
  )
  lines = [
    *busy,
    f"machine: {machine['cpu']}, {machine['usable_cores']} cores, {device};"
    f" {_named(versions)}",
    *plan.lines,
    *_peer_settings(summaries),
    _ceiling_line(ceilings),
  ]
  closing = [finding.sentence for finding in findings]
  if known := topologies.find_device(report["device_name"]):
    report["data_sheet_flops_per_s"] = known.flops_per_s
    closing.append(bench_table.of_data_sheet(summaries, known.flops_per_s))
  closing.append(bench_table.absolute_memory(summaries))
  printed = [
    "",
    *map(bench_table.wrapped, lines),
    "",
    bench_table.table(summaries),
    "",
    *map(bench_table.wrapped, closing),
  ]
  return Measured(report, printed, f"{args.size}, {rows}", headlines(summaries))


def headlines(summaries: Summaries) -> dict[str, Figure]:
  """Tokens per second of each case, beside those of 100 % MFU."""
  return {
    name: Figure(
      summary["tokens_per_s"],
      "tokens/s",
      summary["tokens_per_s"] / summary["mfu"],
    )
    for name, summary in summaries.items()
  }


def _ceilings(against: str, folder: pathlib.Path) -> dict[str, Report]:
  """The fastest matmul of JAX and of the peer's framework, by framework."""
  frameworks = ["jax"]
  if against:
    frameworks.append(_PEERS[against].framework)
  device, ceilings = "", {}
  for framework in frameworks:
    _say(f"measuring the fastest matmul of {framework} ...")
    case = Case(
      f"matmul {framework}",
      "ramjax.tools.bench_machine",
      dict(framework=framework, device=device),
    )
    ceilings[framework] = bench_cases.run_case(case, folder)
    device = ceilings["jax"]["device"]
    if against and device not in ("cpu", "gpu"):
      raise ValueError(
        f"--against={against} cannot run on a {device}, where JAX runs: set"
        " JAX_PLATFORMS=cpu to compare on the CPU."
      )
  return ceilings


def _ceiling_line(ceilings: Mapping[str, Report]) -> str:
  """What 100 % MFU is."""
  rates = "; ".join(
    f"{framework} "
    + ", ".join(
      f"{rate / 1e9:,.0f} at {size}"
      for size, rate in measured["flops_per_s"].items()
    )
    for framework, measured in ceilings.items()
  )
  return (
    "100 % MFU: the fastest square matmul of this run, in"
    f" {ceilings['jax']['dtype']} GFLOP/s: {rates}; the highest counts"
  )


def _versions(summaries: Summaries) -> dict[str, str]:
  """Versions of every package that a case ran on."""
  versions = bench_machine.versions(("ramjax",))
  for summary in summaries.values():
    versions.update(summary["rounds"][0]["versions"])
  return versions


def _peer_settings(summaries: Summaries) -> list[str]:
  """What each of the peer's cases changed, and the defaults that matter."""
  lines = []
  before: dict[str, list[Any]] = {}
  for name, summary in summaries.items():
    report = summary["rounds"][0]
    if "settings" not in report:
      continue
    if not lines:
      lines.append(f"{name}: {_named(report['settings'])}")
    # A later case is said by what it changes on top of the first.
    changed = {
      field: values
      for field, values in report["overridden"].items()
      if before.get(field) != values
    }
    before = before or changed
    fields = ", ".join(
      f"{field} {default} -> {value}"
      for field, (default, value) in changed.items()
    )
    also = "" if changed is before else " also"
    lines.append(f"{name}{also} overrides: {fields}")
  return lines


def _named(fields: Mapping[str, Any]) -> str:
  return ", ".join(f"{name} {value}" for name, value in fields.items())


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench",
    description=(
      "Measure how fast training goes and how much memory it takes. Every case"
      " runs in\na process of its own; with --against they take turns, A B A B,"
      " and the same first\nloss on the same batch is required of both sides."
    ),
    epilog=(
      "targets:\n"
      "  sft         supervised fine-tuning: packed rows, and one padded batch\n"
      "  preference  DPO on pairs, what makes it fast one by one, and the\n"
      "              memory of log-probabilities over 128k tokens\n"
      "  convert     weights from and to Hugging Face, against a copy of the\n"
      "              files; see `ramjax bench convert --help`\n"
      "  sample      sampling, against transformers' generate; see\n"
      "              `ramjax bench sample --help`\n"
      "  attention, logps, checkpoint, data\n"
      "              parts of training beside what the machine allows, in under"
      " a minute\n"
      "              each; see `ramjax bench TARGET --help`\n"
      "  ledger      show the figures that --ledger kept, by commit\n\n"
      "sizes (of the model, initialised at random):\n"
      "  tiny    0.9M parameters, a vocabulary of 1,024: to try things out\n"
      "  small   8.0M, of 8,192: large enough to mean something on a CPU\n"
      "  1b      Llama 3.2 1B, 16 packed rows of 4,096: a GPU or TPU of 141 GB\n"
      "  8b      Llama 3.1 8B, 2 packed rows of 4,096: the same, sft alone\n\n"
      "Leave the machine alone meanwhile. On a CPU everything is float32.\n\n"
      "examples:\n"
      "  ramjax bench sft\n"
      "  ramjax bench sft --against=trl --rows=alpaca.json.gz --json=sft.json\n"
      "  ramjax bench preference --against=trl --rows=pairs.jsonl.gz\n"
      "  ramjax bench sft --size=8b"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "target", choices=list(_TARGETS), metavar="TARGET", help="see below"
  )
  parser.add_argument(
    "--rows",
    metavar="FILE",
    help="rows as .jsonl, .json (each also .gz) or .parquet, or any other"
    " source that a config can name (default: generated tasks)",
  )
  parser.add_argument(
    "--against",
    choices=list(_PEERS),
    default="",
    metavar="PEER",
    help="also measure a peer on the same tokens: trl, which needs"
    " pip install 'ramjax[peers]'",
  )
  parser.add_argument(
    "--size",
    choices=_SIZES,
    default="small",
    help="of the model; see below (default: %(default)s)",
  )
  parser.add_argument(
    "--steps",
    type=option_types.positive_int,
    default=20,
    metavar="NUM",
    help="steps to measure of each case, after 3 to warm up in each process"
    " (default: %(default)s)",
  )
  parser.add_argument(
    "--seconds",
    type=option_types.positive_float,
    default=120.0,
    metavar="SECONDS",
    help="measure a case no longer, with fewer steps if need be"
    " (default: %(default)g)",
  )
  bench_output.add_options(parser, also="every step's time, settings, versions")
  return parser
