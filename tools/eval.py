# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval BENCHMARK`: what a model is worth, in numbers of published kinds."""

import contextlib
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any

# Benchmark -> (module with `main(argv) -> int`, one line for --help).
_BENCHMARKS = {
  "alpaca_eval": ("eval_alpaca", "AlpacaEval 1 and 2, with length control"),
  "alpaca_eval_li": (
    "eval_alpaca_li",
    "AlpacaEval-LI: within a number of words",
  ),
  "win_rate": ("eval_win_rate", "a judge's preference between two models"),
  "rubric": ("eval_rubric", "a judge's grades of single answers"),
  "mt_bench": ("eval_mt_bench", "MT-Bench, scores or pairs, by category"),
  "mt_bench_li": ("eval_mt_bench_li", "MT-Bench-LI: within a number of words"),
  "reward_bench": ("eval_reward_bench", "RewardBench 1 and 2"),
  "preference": (
    "eval_preference",
    "how often the chosen answer scores higher",
  ),
  "ifeval": ("eval_ifeval", "instructions whose following a program checks"),
  "gsm8k": ("eval_gsm8k", "word problems with a number as the answer"),
  "multiple_choice": (
    "eval_multiple_choice",
    "ARC, HellaSwag, MMLU, TruthfulQA",
  ),
  "perplexity": (
    "eval_perplexity",
    "how well texts are predicted, by word and byte",
  ),
  "harness": ("eval_harness", "tasks of lm-evaluation-harness"),
  "arena": ("eval_arena", "Bradley-Terry and Elo from pairwise verdicts"),
  "agreement": ("eval_agreement", "how far annotators agree: Cohen's kappa"),
}
_EXAMPLES = """\
examples:
  ramjax eval alpaca_eval --model=outputs.json --judge=annotations.json
  ramjax eval mt_bench --judge=gpt-4_single.jsonl --questions=question.jsonl
  ramjax eval reward_bench --model=scores.jsonl
  ramjax eval gsm8k --data=test.jsonl --model=runs/mine --out=evals/gsm8k
  ramjax eval arena --verdicts=battles.jsonl
"""


def _help() -> str:
  lines = "\n".join(
    f"  {name:<17}{summary}" for name, (_, summary) in _BENCHMARKS.items()
  )
  return (
    "usage: ramjax eval BENCHMARK [options]\n\n"
    "Every benchmark reads its official files from the paths that are given (none\n"
    "comes with ramjax), and with --out writes official files back.\n\n"
    f"benchmarks:\n{lines}\n\n"
    f"`ramjax eval BENCHMARK --help` explains each.\n\n{_EXAMPLES}"
  )


def main(argv: Sequence[str]) -> int:
  """Runs one benchmark; returns its exit status (2: no such benchmark)."""
  if not argv or argv[0] in ("-h", "--help", "help"):
    print(_help(), end="")
    return 0 if argv else 2
  try:
    module = _module(argv[0])
  except ValueError as error:
    print(f"ramjax eval: {error}", file=sys.stderr)
    return 2
  try:
    return module.main(argv[1:])
  except (ValueError, OSError) as error:
    print(f"ramjax eval {argv[0]}: {_told(error, argv)}", file=sys.stderr)
    return 1


def _told(error: Exception, argv: Sequence[str]) -> str:
  """What went wrong; of a file that is not there, which option named it."""
  name = getattr(error, "filename", None)
  if not isinstance(error, FileNotFoundError) or name is None:
    return str(error)
  option = next((x for x in argv if x.endswith(f"={name}")), str(name))
  return f"{option} does not exist."


def run(argv: Sequence[str]) -> None:
  """Runs one benchmark for another command, which tells what goes wrong.

  Args:
    argv: As of `main`.

  Raises:
    ValueError, OSError: What the benchmark raises.
  """
  _module(argv[0]).main(argv[1:])


def check(argv: Sequence[str]) -> None:
  """Refuses a command line that could not run, as far as that can be told.

  The files that it names are read, but for the model's.

  Args:
    argv: As of `main`.

  Raises:
    ValueError, OSError: No such benchmark, an option it does not take, or a file
      that it could not use.
  """
  told = io.StringIO()
  try:
    with (
      contextlib.redirect_stderr(told),
      contextlib.redirect_stdout(io.StringIO()),
    ):
      _module(argv[0]).parse(argv[1:])
  except FileNotFoundError as error:
    raise ValueError(_told(error, argv)) from error
  except SystemExit as error:
    problem = told.getvalue().rpartition("error: ")[2].strip()
    raise ValueError(
      f"`ramjax eval {argv[0]}`: {problem or '--help runs nothing'}."
    ) from error


def _module(name: str) -> Any:
  if name not in _BENCHMARKS:
    raise ValueError(f"{name!r} is not a benchmark: {', '.join(_BENCHMARKS)}.")
  return importlib.import_module(f"ramjax.tools.{_BENCHMARKS[name][0]}")
