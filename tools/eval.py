# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval BENCHMARK`: what a model is worth, in numbers of published kinds."""

import importlib
import sys
from collections.abc import Sequence

# Benchmark -> (module with `main(argv) -> int`, one line for --help).
_BENCHMARKS = {
  "alpaca_eval": ("eval_alpaca", "AlpacaEval 1 and 2, with length control"),
  "win_rate": ("eval_win_rate", "a judge's preference between two models"),
  "mt_bench": ("eval_mt_bench", "MT-Bench, scores or pairs, by category"),
  "reward_bench": ("eval_reward_bench", "RewardBench 1 and 2"),
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
  if argv[0] not in _BENCHMARKS:
    print(
      f"ramjax eval: {argv[0]!r} is not a benchmark: {', '.join(_BENCHMARKS)}.",
      file=sys.stderr,
    )
    return 2
  module = importlib.import_module(f"ramjax.tools.{_BENCHMARKS[argv[0]][0]}")
  try:
    return module.main(argv[1:])
  except (ValueError, OSError) as error:
    print(f"ramjax eval {argv[0]}: {error}", file=sys.stderr)
    return 1
