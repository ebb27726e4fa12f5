# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench sample`: speed of sampling, against transformers' `generate`.

Two questions. How many useful tokens a second does each side make of the same
prompts, weights, batch size and lengths of answers, and how many would the
machine allow? And does a token of ours cost the same however long the queue is?
"""

import argparse
import dataclasses
import datetime
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramjax.models import presets
from ramjax.models.config import LlamaConfig
from ramjax.tools import (
  bench_calls,
  bench_cases,
  bench_hf_sample,
  bench_machine,
  bench_output,
  bench_sample_floor,
  bench_sample_lines,
  bench_sample_queue,
  bench_sft,
  bench_training,
  bench_trl_inputs,
  option_types,
)
from ramjax.tools.bench_calls import Peaks
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
# A queue is left out whose one pass would take so many times `--seconds`.
_PATIENCE = 2.0
_FORMULA = (
  "useful tokens are those that were asked for: of each prompt as many as its"
  " answer is long. `generate` runs each batch until its longest answer is done,"
  " and what other rows make beyond theirs counts as nothing. Both sides sample"
  " at temperature 1 from the whole vocabulary, no token ends an answer, and"
  " theirs gets the prompts sorted by length, so that padding is least. tokens/s"
  " = useful tokens of all passes / their seconds, prompts included,"
  f" compilation not. {bench_sample_floor.FORMULA}"
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
    name: Figure(
      case["supervised_tokens_per_s"], "tokens/s", case["ceiling_tokens_per_s"]
    )
    for name, case in report["cases"].items()
  }
  size = f"{args.size}, {args.prompts} prompts, {args.batch} rows"
  return Measured(report, bench_sample_lines.lines(report), size, figures)


def failures(report: Mapping[str, Any]) -> list[str]:
  """What a report falls short in, as sentences; none if all is well."""
  found = []
  speed = report["speed"]
  if speed is not None and speed["value"] < MIN_SPEED:
    found.append(
      f"{speed['value']:.2f} times the peer's tokens/s, under {MIN_SPEED:.2f}"
    )
  if report["growth"] is not None and report["growth"] > MAX_GROWTH:
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
  with tempfile.TemporaryDirectory(prefix="ramjax-bench-") as name:
    folder = pathlib.Path(name)
    peaks = _find_peaks(args.against, folder)
    fields = bench_training.model_fields(args.size, peaks.device)
    model = presets.llama_config(**fields)
    spec = dict(
      folder=name,
      model=fields,
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
    floor = token_floor_s(model, spec, peaks)
    cases = [Case("ours", _OURS, spec)]
    if args.against:
      _say("weights ...")
      weights = Case("weights", _OURS, dict(spec, kind="weights"))
      bench_cases.run_case(weights, folder)
      cases.append(Case("transformers", _HF, spec))
    reports = bench_cases.run_in_turns(cases, rounds, folder, say=_say)
    queues = _measure_queues(
      model, spec, peaks, max_pass_s=_PATIENCE * args.seconds
    )
  summaries = {
    name: summarise(runs, ceiling=1 / floor) for name, runs in reports.items()
  }
  if args.against:
    require_same_tokens(reports)
  costs = [case["cost_s"] for case in queues.values()]
  versions = bench_machine.versions(("ramjax",))
  for runs in reports.values():
    versions.update(runs[0]["versions"])
  return {
    "target": "sample",
    "device": peaks.device,
    "device_name": peaks.name,
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "machine": machine,
    "versions": versions,
    "peaks": peaks._asdict(),
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
    "growth": costs[-1] / min(costs) if len(costs) > 1 else None,
    "limits": {"speed": MIN_SPEED, "growth": MAX_GROWTH},
  }


def _find_peaks(against: str, folder: pathlib.Path) -> Peaks:
  """Of JAX's device, in a process that leaves it to the next one.

  Raises:
    ValueError: It is not the CPU, where the peer is to run.
  """
  _say("measuring the fastest matmul and copy ...")
  case = Case("peaks", _OURS, dict(kind="peaks"))
  peaks = Peaks(**bench_cases.run_case(case, folder))
  if against and peaks.device != "cpu":
    # In bfloat16 two implementations seldom find the same token most likely,
    # which is what shows that both have the same model.
    raise ValueError(
      f"--against={against} is for the CPU, in float32, and JAX runs on a"
      f" {peaks.device} here: leave it out, or set JAX_PLATFORMS=cpu to compare"
      " there."
    )
  return peaks


def token_floor_s(
  model: LlamaConfig, spec: Mapping[str, Any], peaks: Peaks
) -> float:
  """The least seconds a useful token can take, over a pass of a case's queue.

  Args:
    model: What is sampled from.
    spec: Of the case: its queue is read.
    peaks: Of the device.
  """
  prompts, answers = bench_sample_queue.load(spec)
  flops, num_bytes = bench_sample_floor.work(
    model,
    np.array([len(prompt) for prompt in prompts]),
    answers,
    rows=spec["batch"],
    itemsize=jnp.dtype(model.dtype).itemsize,
  )
  return bench_calls.floor_s(flops, num_bytes, peaks) / int(answers.sum())


def _measure_queues(
  model: LlamaConfig,
  spec: Mapping[str, Any],
  peaks: Peaks,
  *,
  max_pass_s: float,
) -> dict[str, Any]:
  """Our cost of a token by the number of prompts, all of 32 tokens."""
  folder, found = pathlib.Path(spec["folder"]), {}
  prompt_s = 0.0
  for num in _QUEUES:
    if num * prompt_s > max_pass_s:
      _say(
        f"a queue of {num:,} is left out: a pass would take some"
        f" {num * prompt_s:.0f} s, over {max_pass_s:g}; raise --seconds"
      )
      continue
    _say(f"a queue of {num:,} ...")
    queue = f"even_{num}.npz"
    bench_sample_queue.save(
      folder / queue, num=num, vocab_size=model.vocab_size, even=True
    )
    # As many rows for each, and at least one pass. The prompts are all alike, so
    # a few have all compiled that the others need.
    rows = min(_QUEUES)
    of_queue = dict(
      spec, queue=queue, batch=rows, seconds=spec["seconds"] / 4, warm=2 * rows
    )
    case = Case(f"queue {num}", _OURS, of_queue)
    report = bench_cases.run_case(case, folder)
    # The median pass: in a short one, one pause of the machine counts a lot.
    pass_s = float(np.median(report["step_s"]))
    prompt_s = pass_s / num
    tokens = report["counts"]["supervised"]
    found[str(num)] = {
      "cost_s": pass_s * len(report["step_s"]) / tokens,
      "floor_s": token_floor_s(model, of_queue, peaks),
      "report": report,
    }
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


def summarise(reports: Sequence[Report], *, ceiling: float) -> dict[str, Any]:
  """One case's figures from the reports of all its rounds.

  Args:
    reports: At least one.
    ceiling: Useful tokens per second that the machine would allow.
  """
  steps = np.concatenate([report["step_s"] for report in reports])
  useful, places = (
    sum(report["counts"][name] for report in reports)
    for name in ("supervised", "places")
  )
  rate = useful / float(steps.sum())
  compiled = [r["compile_s"] for r in reports if r["compile_s"] is not None]
  return {
    "passes": len(steps),
    "pass_s_median": float(np.median(steps)),
    "supervised_tokens_per_s": rate,
    "ceiling_tokens_per_s": ceiling,
    "share_of_ceiling": rate / ceiling,
    "useful_share": useful / places,
    "compile_s": float(np.median(compiled)) if compiled else None,
    "peak_above_imports_bytes": max(
      r["peak_bytes"] - r["import_bytes"] for r in reports
    ),
    "device_peak_bytes": max(r["device_peak_bytes"] for r in reports),
    "rounds": list(reports),
  }


def _speed(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  return bench_cases.ratio(
    summaries, "supervised_tokens_per_s", "ours", "transformers"
  )


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
      f"{MAX_GROWTH:g} times that of the cheapest. Each figure is beside what"
      " the machine would allow, by\narithmetic and by memory. Computes in"
      " float32 on a CPU, in bfloat16 on a GPU or TPU.\n\nLeave the machine"
      " alone meanwhile."
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
    " pip install 'ramjax[peers]'; on the CPU alone",
  )
  parser.add_argument(
    "--size",
    choices=bench_sft.SIZES,
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
    help="measure a case for so long, in whole passes over the queue, and leave"
    " out a queue of which one takes twice as long (default: %(default)g)",
  )
  bench_output.add_options(parser, also="every pass's time, settings, versions")
  return parser
