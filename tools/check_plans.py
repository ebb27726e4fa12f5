# SPDX-License-Identifier: Apache-2.0
"""`make check-plans`: every large config still fits, and moves no more than it did.

`plan_checks.json` has the cases: a config, a topology, and what the compiler said
when it was last accepted. A step that needs more than 92 % of a device's memory,
2 % more than it did, or more collectives, fails the check. What is less than it was
is said: until `--write` accepts it, growth up to the old figures goes unseen. What
does not fit, or fills more than 92 %, nothing accepts.
"""

import argparse
import importlib
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals import replaced_file

_CASES = pathlib.Path(__file__).with_name("plan_checks.json")
# The runtime and fragmentation take the rest.
_MOST_MEMORY = 0.92
# Compilers of the same version differ by less from machine to machine.
_PEAK_SLACK = 1.02
_GIB = 2**30


def main(argv: Sequence[str] | None = None) -> int:
  """Compiles the cases and prints a line for each.

  Returns:
    The exit status: 0, or 1 if a case fails or none could be checked.
  """
  args = _parser().parse_args(argv)
  os.environ["JAX_PLATFORMS"] = "cpu"
  from ramjax.tools import plan_compile

  cases = json.loads(_CASES.read_text())
  chosen = [case for case in cases if args.only in _name(case)]
  if not chosen:
    print(f"no case has {args.only!r} in its name.", file=sys.stderr)
    return 1
  failed = skipped = 0
  for case in chosen:
    print(f"{_name(case)} ...", end=" ", flush=True)
    if missing := plan_compile.missing_compiler(_topology(case)):
      print(f"not checked: {missing}")
      skipped += 1
      continue
    measured, unfit = check(case)
    grown, shrunk = differences(case["accepted"], measured)
    accepts = args.write and not unfit
    wrong = unfit if accepts else [*unfit, *grown]
    failed += bool(wrong)
    print(_line(measured) + "".join(f"\n  FAILED: {w}" for w in wrong))
    if accepts:
      _accept(case, measured)
      print("".join(f"  NOW ACCEPTED: {w}\n" for w in grown + shrunk), end="")
    else:
      print("".join(f"  LESS: {w}\n" for w in shrunk), end="")
  checked = len(chosen) - skipped
  print(f"{checked - failed} of {checked} plans hold; {skipped} not checked")
  return 1 if not checked or failed else 0


def check(case: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
  """Compiles a case.

  Args:
    case: `config`, `topology`, `slices`, `overrides` by dotted field, and
      `accepted`: figures as this returns them, or None of a new case.

  Returns:
    Figures (`peak_gib`, None if it does not fit; `collectives`, counts by kind
    and axes; `compile_s`), and why nothing may accept them, a sentence each.
  """
  from ramjax.tools import plan_compile
  from ramjax.trainers import abstract_run

  topology = _topology(case)
  module = importlib.import_module(f"ramjax.configs.{case['config']}")
  config = module.get_config()
  config.update_from_flattened_dict(case["overrides"])
  devices = plan_compile.target_devices(topology)
  run = abstract_run.describe_run(config, devices)
  compiled = plan_compile.compile_step(run, topology)
  measured: dict[str, Any] = {
    "peak_gib": round(compiled.peak_bytes / _GIB, 2) if compiled.fits else None,
    "collectives": {c.name: c.count for c in compiled.collectives},
    "compile_s": round(compiled.compile_s),
  }
  limit = topology.device.memory_bytes / _GIB
  return measured, too_large(measured, limit, compiled.reason)


def _topology(case: Mapping[str, Any]) -> Any:
  from ramjax.tools import topologies

  return topologies.find_topology(case["topology"], num_slices=case["slices"])


def too_large(
  measured: Mapping[str, Any], limit_gib: float, reason: str
) -> list[str]:
  """Why figures are no plan to run by, a sentence each."""
  peak = measured["peak_gib"]
  if peak is None:
    return [f"it does not fit: {reason}"]
  if peak > _MOST_MEMORY * limit_gib:
    return [
      f"a peak of {peak} GiB is more than {_MOST_MEMORY:.0%} of"
      f" {limit_gib:.2f} GiB."
    ]
  return []


def differences(
  accepted: Mapping[str, Any] | None, measured: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
  """What is more and what is less than was accepted, a sentence each.

  Of a step that does not fit, nothing: `too_large` says why.
  """
  if accepted is None:
    return ["no figures were accepted yet: --write does."], []
  peak, peak_before = measured["peak_gib"], accepted["peak_gib"]
  if peak is None:
    return [], []
  more, less = [], []
  said = f"a peak of {peak} GiB; accepted: {peak_before}."
  if peak > _PEAK_SLACK * peak_before:
    more.append(said)
  elif _PEAK_SLACK * peak < peak_before:
    less.append(said)
  now, before = measured["collectives"], accepted["collectives"]
  for name in sorted({*now, *before}):
    count, count_before = now.get(name, 0), before.get(name, 0)
    if count != count_before:
      sentences = more if count > count_before else less
      sentences.append(f"{count:,} {name}; accepted: {count_before:,}.")
  return more, less


def _accept(case: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
  """Keeps the figures of one case at once: the next may take minutes.

  The file is read again, since another check may have written to it, and
  replaced whole, so that one that is interrupted leaves no half of it.
  """
  cases = json.loads(_CASES.read_text())
  for other in cases:
    if _name(other) == _name(case):
      other["accepted"] = measured
  replaced_file.replace_file(_CASES, [json.dumps(cases, indent=1), "\n"])


def _name(case: Mapping[str, Any]) -> str:
  changed = "".join(f" {k}={v}" for k, v in case["overrides"].items())
  slices = f" x{case['slices']}" if case["slices"] > 1 else ""
  return f"{case['config']} on {case['topology']}{slices}{changed}"


def _line(measured: Mapping[str, Any]) -> str:
  if measured["peak_gib"] is None:
    return "does not fit"
  total = sum(measured["collectives"].values())
  return (
    f"{measured['peak_gib']:.2f} GiB, {total:,} collectives, compiled in"
    f" {measured['compile_s']} s"
  )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m ramjax.tools.check_plans",
    description=(
      "Compile the large configs for the slices they are meant for, and compare"
      " peaks and collectives with those accepted."
    ),
  )
  parser.add_argument(
    "--only",
    default="",
    metavar="TEXT",
    help="cases with TEXT in their name, such as 'sft_llama3_1_8b on v5p'",
  )
  parser.add_argument(
    "--write",
    action="store_true",
    help="accept what fits, and keep its figures in plan_checks.json",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
