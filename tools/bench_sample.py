# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench sample`: speed of sampling, against transformers' `generate`.

Two questions. How many useful tokens a second does each side make of the same
prompts, weights, batch size and lengths of answers? And does a token of ours
cost the same however long the queue is?
"""

import argparse
import dataclasses
import datetime
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ramjax.models import presets
from ramjax.tools import (
  bench_cases,
  bench_hf_sample,
  bench_machine,
  bench_output,
  bench_sample_queue,
  bench_table,
  bench_training,
  bench_trl_inputs,
  option_types,
)
from ramjax.tools.bench_cases import Case, Report
from ramjax.tools.bench_ledger import Figure
from ramjax.tools.bench_output import Measured

_OURS = "ramjax.tools.bench_sample_ours"
_HF = "ramjax.tools.bench_hf_sample"
_QUEUES = (16, 64, 256, 1024)
# What sampling has to keep to: tokens/s over the peer's, and the cost of a
# token in the longest queue over the cheapest.
MIN_SPEED = 3.0
MAX_GROWTH = 1.25
_ROUNDS = 2
_FORMULA = (
  "useful tokens are those that were asked for: of each prompt as many as its"
  " answer is long. `generate` runs each batch until its longest answer is done,"
  " and what other rows make beyond theirs counts as nothing. Both sides sample"
  " at temperature 1 from the whole vocabulary, no token ends an answer, and"
  " theirs gets the prompts sorted by length, so that padding is least. tokens/s"
  " = useful tokens of all passes / their seconds, prompts included,"
  " compilation not."
)


def main(argv: Sequence[str]) -> int:
  """Measures and prints a table.

  Args:
    argv: The arguments behind `ramjax bench sample`.

  Returns:
    0; 1 if it cannot be measured, or sampling is slower than it has to be.
  """
  args = _parser().parse_args(argv)
  return bench_output.run(("bench", "sample"), argv, args, _run)


def _run(args: argparse.Namespace) -> Measured:
  if args.against:
    bench_hf_sample.require()
  report = _measure(args)
  report["failures"] = failures(report)
  figures = {
    name: Figure(case["supervised_tokens_per_s"], "tokens/s")
    for name, case in report["cases"].items()
  }
  size = f"{args.size}, {args.prompts} prompts, {args.batch} rows"
  return Measured(report, lines(report), size, figures)


def failures(report: Mapping[str, Any]) -> list[str]:
  """What a report falls short in, as sentences; none if all is well."""
  found = []
  speed = report["speed"]
  if speed is not None and speed["value"] < MIN_SPEED:
    found.append(
      f"{speed['value']:.2f} times the peer's tokens/s, under {MIN_SPEED:.2f}"
    )
  if report["growth"] > MAX_GROWTH:
    found.append(
      f"a token of the longest queue costs {report['growth']:.2f} times that of"
      f" the cheapest, over {MAX_GROWTH:.2f}"
    )
  return found


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _measure(args: argparse.Namespace) -> dict[str, Any]:
  machine = bench_machine.describe()
  rounds = _ROUNDS if args.against else 1
  fields = bench_training.SIZES[args.size]
  model = presets.llama_config("tiny", **fields, dtype="float32")
  with tempfile.TemporaryDirectory(prefix="ramjax-bench-") as name:
    folder = pathlib.Path(name)
    spec = dict(
      folder=name,
      model=dataclasses.asdict(model),
      hf_config=bench_trl_inputs.hf_fields(model),
      batch=args.batch,
      seconds=args.seconds / rounds,
      kind="ours",
      queue="mixed.npz",
    )
    bench_sample_queue.save(
      folder / "mixed.npz",
      num=args.prompts,
      vocab_size=model.vocab_size,
      even=False,
    )
    cases = [Case("ours", _OURS, spec)]
    if args.against:
      _say("weights ...")
      weights = Case("weights", _OURS, dict(spec, kind="weights"))
      bench_cases.run_case(weights, folder)
      cases.append(Case("transformers", _HF, spec))
    reports = bench_cases.run_in_turns(cases, rounds, folder, say=_say)
    queues = _measure_queues(spec, folder)
  summaries = {name: summarise(runs) for name, runs in reports.items()}
  if args.against:
    require_same_tokens(reports)
  costs = [case["cost_s"] for case in queues.values()]
  versions = bench_machine.versions(("ramjax",))
  for runs in reports.values():
    versions.update(runs[0]["versions"])
  return {
    "target": "sample",
    "device_name": bench_machine.device_name("cpu"),
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "machine": machine,
    "versions": versions,
    "formula": _FORMULA,
    "size": args.size,
    "model": dataclasses.asdict(model),
    "parameters": model.num_parameters,
    "prompts": args.prompts,
    "batch": args.batch,
    "prompt_tokens": bench_sample_queue.PROMPT_TOKENS,
    "answer_tokens": bench_sample_queue.ANSWER_TOKENS,
    "cases": summaries,
    "speed": _speed(summaries) if args.against else None,
    "queues": queues,
    "growth": costs[-1] / min(costs),
    "limits": {"speed": MIN_SPEED, "growth": MAX_GROWTH},
  }


def _measure_queues(
  spec: Mapping[str, Any], folder: pathlib.Path
) -> dict[str, Any]:
  """Our cost of a token by the number of prompts, all of 32 tokens."""
  found = {}
  for num in _QUEUES:
    queue = f"even_{num}.npz"
    bench_sample_queue.save(
      folder / queue,
      num=num,
      vocab_size=spec["model"]["vocab_size"],
      even=True,
    )
    _say(f"a queue of {num} ...")
    case = Case(
      f"queue {num}",
      _OURS,
      # As many rows for each, and at least one pass.
      dict(spec, queue=queue, batch=min(_QUEUES), seconds=spec["seconds"] / 4),
    )
    report = bench_cases.run_case(case, folder)
    tokens = report["counts"]["supervised"]
    # The median pass: in a short one, one pause of the machine counts a lot.
    cost = float(np.median(report["step_s"])) * len(report["step_s"]) / tokens
    found[str(num)] = {"cost_s": cost, "report": report}
  return found


def require_same_tokens(reports: Mapping[str, Sequence[Report]]) -> None:
  """Checks that both sides find the same tokens most likely.

  Args:
    reports: Of the cases "ours" and "transformers".

  Raises:
    ValueError: They do not, so that they are not the same model.
  """
  ours, theirs = (reports[name][0]["greedy"] for name in reports)
  if ours != theirs:
    pairs = list(zip(ours, theirs, strict=True))
    differ = sum(one != other for one, other in pairs)
    raise ValueError(
      f"{differ} of {len(pairs)} greedy answers are not the same on both sides:"
      " the speeds of two different models cannot be compared."
    )


def summarise(reports: Sequence[Report]) -> dict[str, Any]:
  """One case's figures from the reports of all its rounds."""
  steps = np.concatenate([report["step_s"] for report in reports])
  useful, places = (
    sum(report["counts"][name] for report in reports)
    for name in ("supervised", "places")
  )
  compiled = [r["compile_s"] for r in reports if r["compile_s"] is not None]
  return {
    "passes": len(steps),
    "pass_s_median": float(np.median(steps)),
    "supervised_tokens_per_s": useful / float(steps.sum()),
    "useful_share": useful / places,
    "compile_s": float(np.median(compiled)) if compiled else None,
    "peak_above_imports_bytes": max(
      r["peak_bytes"] - r["import_bytes"] for r in reports
    ),
    "rounds": list(reports),
  }


def _speed(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  return bench_cases.ratio(
    summaries, "supervised_tokens_per_s", "ours", "transformers"
  )


def lines(report: Mapping[str, Any]) -> list[str]:
  """The tables and what they come to."""
  machine = report["machine"]
  least, most = report["prompt_tokens"]
  shortest, longest = report["answer_tokens"]
  opening = [
    f"machine: {machine['cpu']}, {machine['usable_cores']} cores;"
    f" {', '.join(f'{k} {v}' for k, v in report['versions'].items())}",
    f"model: {report['size']}, {report['parameters']:,} parameters, float32;"
    f" {report['prompts']} prompts of {least} to {most} tokens, answers of"
    f" {shortest} to {longest}, both log-uniform; {report['batch']} rows at a"
    " time",
    *bench_machine.warnings(machine),
  ]
  table = [
    f"{'':<14}{'tokens/s':>10}{'useful, %':>11}{'passes':>8}"
    f"{'pass, s':>9}{'compile, s':>12}{'memory, MB':>12}"
  ]
  for name, case in report["cases"].items():
    compiled = case["compile_s"]
    table.append(
      f"{name:<14}{case['supervised_tokens_per_s']:>10,.0f}"
      f"{100 * case['useful_share']:>11.1f}{case['passes']:>8}"
      f"{case['pass_s_median']:>9.2f}"
      f"{'-' if compiled is None else f'{compiled:.1f}':>12}"
      f"{case['peak_above_imports_bytes'] / 1e6:>12,.0f}"
    )
  table += ["", f"{'prompts':<14}{'us/token':>10}"]
  for num, case in report["queues"].items():
    table.append(f"{int(num):<14,}{1e6 * case['cost_s']:>10,.0f}")
  return [
    *map(bench_table.wrapped, opening),
    "",
    *table,
    "",
    *map(bench_table.wrapped, _closing(report)),
  ]


def _closing(report: Mapping[str, Any]) -> list[str]:
  closing = []
  if report["speed"] is not None:
    speed = report["speed"]
    rounds = ", ".join(f"{value:.2f}" for value in speed["rounds"])
    closing.append(
      f"useful tokens/s, ours / transformers: {speed['value']:.2f}, at least"
      f" {MIN_SPEED:.2f} wanted (by round: {rounds}). Greedily both sides answer"
      " the same."
    )
  closing.append(
    f"cost of a token, {min(_QUEUES)} rows and every prompt and answer of 32"
    f" tokens: in the longest queue {report['growth']:.2f} times that of the"
    f" cheapest, at most {MAX_GROWTH:.2f} wanted."
  )
  closing.append(report["formula"])
  return closing + [f"FAILED: {failure}." for failure in report["failures"]]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench sample",
    description=(
      "Measure how fast a model of random weights is sampled from, and whether"
      " a token costs the\nsame in a long queue as in a short one. With"
      " --against both sides take turns, A B A B, each\nin a process of its"
      " own, and the same greedy tokens are required of them. Exit status 1 if"
      f"\nours has under {MIN_SPEED:g} times the peer's tokens/s, or a token of"
      " the longest queue costs over\n"
      f"{MAX_GROWTH:g} times that of the cheapest. Computes in float32, on the"
      " CPU.\n\nLeave the machine alone meanwhile."
    ),
    epilog=(
      "sizes as for `ramjax bench sft`\n\n"
      "example:\n  ramjax bench sample --against=hf --json=sample.json"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--against",
    choices=("hf",),
    default="",
    metavar="PEER",
    help="also measure a peer: hf, which is transformers' generate and needs"
    " pip install 'ramjax[peers]'",
  )
  parser.add_argument(
    "--size",
    choices=tuple(bench_training.SIZES),
    default="small",
    help="of the model (default: %(default)s)",
  )
  parser.add_argument(
    "--prompts",
    type=option_types.positive_int,
    default=128,
    metavar="NUM",
    help="in the queue (default: %(default)s)",
  )
  parser.add_argument(
    "--batch",
    type=option_types.positive_int,
    default=32,
    metavar="NUM",
    help="rows at a time, on both sides (default: %(default)s)",
  )
  parser.add_argument(
    "--seconds",
    type=option_types.positive_float,
    default=120.0,
    metavar="SECONDS",
    help="measure a case for so long, in whole passes over the queue"
    " (default: %(default)g)",
  )
  bench_output.add_options(parser, also="every pass's time, settings, versions")
  return parser
