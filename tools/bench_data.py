# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench data`: whether rows become batches faster than steps use them.

Rows are read, tokenised and packed as training does it, in this process; and a
step of `ramjax bench sft` on the same rows, in one of its own, says how many
tokens a second it takes.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from ramjax.data import batches as batches_lib
from ramjax.data import load, parse_rows, sources, tokenizers
from ramjax.data.batches import TokenBatch
from ramjax.tools import (
  bench_calls,
  bench_cases,
  bench_machine,
  bench_output,
  bench_sft,
  bench_table,
  bench_training,
)
from ramjax.tools.bench_cases import Case, Report
from ramjax.tools.bench_ledger import Figure
from ramjax.tools.bench_output import Measured

_READ, _TOKENISE, _PACK = "read and parse", "tokenise", "pack a batch"
# Batches for each pass over the rows.
_BATCHES = 5
_FORMULA = (
  "Rows/s and tokens/s = those of a pass, or of a batch without its padding,"
  " over the mean of its seconds. Reading `tasks:` writes the tasks, and parses"
  " them. A batch is timed as a loop that does nothing else finds it: 64 rows"
  " are filled together, so that most batches are there at once and every"
  " eighth or so takes all the time. The step is that of `ramjax bench sft`,"
  " packed, and takes tokens / seconds of its measured steps."
)


def main(argv: Sequence[str]) -> int:
  """Measures and prints a table.

  Args:
    argv: The arguments behind `ramjax bench data`.

  Returns:
    The exit status: 0, or 1 if it cannot be measured.
  """
  args = _parser().parse_args(argv)
  return bench_output.run(("bench", "data"), argv, args, _measure)


def _measure(args: argparse.Namespace) -> Measured:
  machine = bench_machine.describe()
  with tempfile.TemporaryDirectory(prefix="ramjax-bench-") as name:
    folder = pathlib.Path(name)
    matmul = bench_cases.run_case(
      Case(
        "matmul jax",
        "ramjax.tools.bench_machine",
        dict(framework="jax", device=""),
      ),
      folder,
    )
    plan = bench_sft.prepare(
      folder,
      rows=args.rows,
      size=args.size,
      against="",
      device=matmul["device"],
      steps=args.steps,
      seconds=args.seconds,
    )
    packed = plan.cases[0]
    config = ConfigDict(packed.spec["config"])
    found = measure_input(
      args.rows, folder, config, steps=args.steps, seconds=args.seconds
    )
    step = bench_cases.run_case(packed, folder)
  report = dict(
    bench_calls.report(
      "data", args.size, machine, matmul["device"], matmul["device_name"]
    ),
    formula=_FORMULA,
    rows=args.rows,
    rows_sha256=plan.facts["rows_sha256"],
    parameters=plan.facts["parameters"],
    batch=plan.facts["packed_rows"],
    **found,
    step=step,
    **compare(found, step),
  )
  size = f"{args.size}, {args.rows}"
  return Measured(report, _lines(report), size, _headlines(report))


def measure_input(
  rows: str,
  folder: pathlib.Path,
  config: ConfigDict,
  *,
  steps: int,
  seconds: float,
) -> dict[str, Any]:
  """Times reading, tokenising and packing of a source.

  Args:
    rows: The source.
    folder: With `tokenizer.model`.
    config: Of an SFT run: `data` and `seed` are read.
    steps: Passes over the rows; five batches for each.
    seconds: See `bench_calls.time_in_turns`.

  Returns:
    `figures`: of each, with `rows` and `tokens` of a pass or a batch; and
    `fill`, the share of a batch's places that hold a token.
  """
  loaded = _load(rows, folder)
  tokenizer = tokenizers.load_tokenizer(folder / "tokenizer.model")

  def tokenise() -> Any:
    return sources.tokenize_rows(
      loaded.rows,
      template=config.data.template,
      tokenizer=tokenizer,
      max_length=config.data.max_length,
      label=rows,
    )

  examples, counts = tokenise()
  times = bench_calls.time_in_turns(
    {_READ: lambda: _load(rows, folder), _TOKENISE: tokenise},
    steps=steps,
    seconds=seconds,
  )
  batches = batches_lib.train_batches(
    [examples],
    weights=[1.0],
    length=config.data.max_length,
    batch_size=config.data.batch_size,
    pack=config.data.pack,
    seed=config.seed,
  )
  seen: list[TokenBatch] = []
  times |= bench_calls.time_in_turns(
    {_PACK: lambda: seen.append(next(batches))},
    steps=_BATCHES * steps,
    seconds=seconds,
  )
  measured = seen[bench_calls.WARMUP :]
  places, tokens, _ = batches_lib.count_tokens(measured)
  num_rows = sum(int(batch.segment_ids.max(axis=1).sum()) for batch in measured)
  amounts = {
    _READ: (len(loaded.rows), None),
    _TOKENISE: (len(loaded.rows), counts["tokens"]),
    _PACK: (num_rows / len(measured), tokens / len(measured)),
  }
  return dict(
    figures={
      name: _figure(times[name], *amount) for name, amount in amounts.items()
    },
    fill=tokens / places,
  )


def _load(rows: str, folder: pathlib.Path) -> Any:
  return load.load_rows(
    rows,
    parse=parse_rows.parse_sft,
    max_bad_share=bench_training.MAX_BAD_SHARE,
    quarantine_path=folder / "quarantine.jsonl",
  )


def _figure(
  step_s: Sequence[float], rows: float, tokens: float | None
) -> dict[str, Any]:
  per_s = len(step_s) / sum(step_s)
  return dict(
    bench_calls.figure(step_s, None),
    rows_per_s=rows * per_s,
    tokens_per_s=None if tokens is None else tokens * per_s,
  )


def compare(found: Mapping[str, Any], step: Report) -> dict[str, Any]:
  """What the step needs, and what the input gives.

  Args:
    found: From `measure_input`.
    step: Of the case of `bench_sft`.

  Returns:
    `step_tokens_per_s`; `keeps_up`, packed tokens/s over those; and
    `epoch_share`, the seconds of reading and tokenising all rows, which a run
    does once, over those of the steps of one epoch.
  """
  figures = found["figures"]
  needed = step["counts"]["tokens"] / sum(step["step_s"])
  once = sum(
    figures[_TOKENISE]["rows_per_s"] / figures[name]["rows_per_s"]
    for name in (_READ, _TOKENISE)
  )
  return dict(
    step_tokens_per_s=needed,
    keeps_up=figures[_PACK]["tokens_per_s"] / needed,
    epoch_share=once * needed / figures[_TOKENISE]["tokens_per_s"],
  )


def _headlines(report: Mapping[str, Any]) -> dict[str, Figure]:
  figures, needed = report["figures"], report["step_tokens_per_s"]
  return {
    _READ: Figure(figures[_READ]["rows_per_s"], "rows/s"),
    _TOKENISE: Figure(figures[_TOKENISE]["tokens_per_s"], "tokens/s", needed),
    _PACK: Figure(figures[_PACK]["tokens_per_s"], "tokens/s", needed),
    "fill": Figure(100 * report["fill"], "%", 100.0),
  }


def _lines(report: Mapping[str, Any]) -> list[str]:
  num_rows, length = report["batch"]
  opening = [
    *bench_calls.introduction(report),
    f"rows: {report['rows']}; batches of {num_rows} rows of {length},"
    f" {100 * report['fill']:.1f} % of them filled",
  ]
  heads = ("p10, ms", "median", "p90")
  table = [
    f"{'':<16}"
    + "".join(f"{head:>10}" for head in heads)
    + f"{'rows/s':>12}{'tokens/s':>12}"
  ]
  for name, figure in report["figures"].items():
    times = (figure[f"step_s_{head}"] for head in ("p10", "median", "p90"))
    cells = "".join(f"{bench_table.rounded(1000 * t):>10}" for t in times)
    tokens = figure["tokens_per_s"]
    tokens = "-" if tokens is None else f"{tokens:,.0f}"
    table.append(f"{name:<16}{cells}{figure['rows_per_s']:>12,.0f}{tokens:>12}")
  closing = [
    f"A step of the model of size {report['size']} ({report['parameters']:,}"
    f" parameters) takes {report['step_tokens_per_s']:,.0f} tokens/s: input"
    f" keeps up with {bench_table.rounded(report['keeps_up'])} times this step."
    f" Reading and tokenising, done once, take"
    f" {100 * report['epoch_share']:.1f} % of the time of one epoch's steps.",
    report["formula"],
  ]
  return [
    *map(bench_table.wrapped, opening),
    "",
    *table,
    "",
    *map(bench_table.wrapped, closing),
  ]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench data",
    description=(
      "Measure how fast rows are read, tokenised and packed into batches, on"
      " the processor, and\nwhether that is faster than a step of training"
      " takes them.\n\nLeave the machine alone meanwhile."
    ),
    epilog=(
      "sizes as for `ramjax bench sft`: the smaller the model, the faster its"
      " steps\n\n"
      "examples:\n  ramjax bench data --json=data.json\n"
      "  ramjax bench data --rows=alpaca.json.gz --ledger"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--rows",
    default=bench_sft.ROWS,
    metavar="FILE",
    help="rows as .jsonl, .json (each also .gz) or .parquet, or any other"
    " source that a config can name (default: %(default)s)",
  )
  parser.add_argument(
    "--size",
    choices=bench_sft.SIZES,
    default="small",
    help="of the model that takes the step (default: %(default)s)",
  )
  bench_calls.add_options(parser)
  bench_output.add_options(parser, also="every step's time, versions, formula")
  return parser
