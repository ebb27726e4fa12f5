# SPDX-License-Identifier: Apache-2.0
"""`ramjax results RUN...`: the last held-out figures of runs, side by side."""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence

from ramjax.trainers import provenance, recorder, round_files

# Of the first evaluation, for what a run improves on its start.
_FIRST = "first/"
# Metric -> heading, and how it is printed.
_COLUMNS = {
  "eval/verified_accuracy": ("verified", "{:.1%}"),
  _FIRST + "eval/verified_accuracy": ("from", "{:.1%}"),
  "eval/sampled/verified_accuracy": ("sampled", "{:.1%}"),
  _FIRST + "eval/sampled/verified_accuracy": ("sampled from", "{:.1%}"),
  "eval/score": ("score", "{:.3g}"),
  "eval/score_change": ("change", "{:+.3g}"),
  "eval/score_change_stderr": ("+-", "{:.2g}"),
  "eval/rewards/accuracy": ("pairs right", "{:.1%}"),
  "eval/rewards/accuracy_low": ("95% from", "{:.1%}"),
  "eval/rewards/accuracy_high": ("to", "{:.1%}"),
  "eval/rewards/margin": ("margin", "{:.3g}"),
  "eval/perplexity": ("perplexity", "{:.3g}"),
  "eval/loss": ("loss", "{:.4f}"),
}


def main(argv: Sequence[str]) -> int:
  """Prints one line a run.

  Args:
    argv: The arguments behind `ramjax results`.

  Returns:
    The exit status: 0, or 1 with a message.
  """
  parser = argparse.ArgumentParser(
    prog="ramjax results",
    description=(
      "Print what runs came to on their held-out rows: the last evaluation of"
      " each. Figures of\nruns with other held-out rows are not comparable."
      " Verified are greedy answers; sampled, those\ndrawn as in a rollout. Of a"
      " run in rounds the change of the score is from its first model, with its"
      "\nstandard error."
    ),
    epilog="example:\n  ramjax results runs/quickstart runs/quickstart-dpo",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN")
  args = parser.parse_args(argv)
  try:
    found = {run: _last_evaluation(run) for run in args.runs}
  except (ValueError, OSError) as error:
    print(f"ramjax results: {error}", file=sys.stderr)
    return 1
  print(table(found))
  return 0


def _last_evaluation(run: pathlib.Path) -> dict[str, float | str]:
  if not (run / provenance.CONFIG_FILE).is_file():
    raise FileNotFoundError(
      f"{run} holds no {provenance.CONFIG_FILE}: name the --workdir of a run."
    )
  config = json.loads((run / provenance.CONFIG_FILE).read_text())
  first: dict[str, float | str] = {}
  last: dict[str, float | str] = {}
  log = run / recorder.METRICS_FILE
  if not log.is_file():
    log = run / round_files.LOG
  for line in log.read_text().splitlines():
    metrics = json.loads(line)
    if any(name.startswith("eval/") for name in metrics):
      first = first or {_FIRST + name: x for name, x in metrics.items()}
      last = metrics
  if not last:
    raise ValueError(f"{run} was not evaluated: it has no held-out rows.")
  at = {"step": last["step"] if "step" in last else last["round"]}
  return {"algorithm": config["algorithm"], **first, **last, **at}


def table(
  found: Mapping[pathlib.Path, Mapping[str, float | str]],
) -> str:
  """Runs as rows; a column for each figure that one of them has."""
  columns = [
    name for name in _COLUMNS if any(name in run for run in found.values())
  ]
  rows = [["run", "algorithm", "step", *(_COLUMNS[c][0] for c in columns)]]
  for path, run in found.items():
    figures = [
      _COLUMNS[name][1].format(run[name]) if name in run else ""
      for name in columns
    ]
    rows.append([str(path), str(run["algorithm"]), str(run["step"]), *figures])
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    names = (cell.ljust(w) for cell, w in zip(row[:2], widths, strict=False))
    numbers = (
      cell.rjust(w) for cell, w in zip(row[2:], widths[2:], strict=True)
    )
    lines.append("  ".join([*names, *numbers]).rstrip())
  return "\n".join(lines)
