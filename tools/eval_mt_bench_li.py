# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval mt_bench_li`: first turns whose answers may have so many words."""

import argparse
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ramjax.data.rows import Message
from ramjax.evals import (
  length_instructed,
  length_instructed_files,
  mt_bench_answers,
  mt_bench_files,
  replaced_file,
)
from ramjax.evals.engine import Engine
from ramjax.evals.length_instructed_files import LimitedPrompt
from ramjax.evals.mt_bench_files import Question
from ramjax.tools import (
  eval_length_instructed,
  eval_outputs,
  eval_result,
  pair_judging,
)
from ramjax.tools.eval_sides import Side

# Of the answers, which MT-Bench samples.
_SEED = 0
_FORM = eval_outputs.Format(
  file="model_answer.jsonl",
  how="as MT-Bench has it, at a temperature for each category,",
  most=mt_bench_answers.MAX_TOKENS,
  whose=lambda path: _first_turns(path)[1],
)
_BENCHMARK = eval_length_instructed.Benchmark(
  name="mt_bench_li",
  key="question_id",
  group="category",
  needed={"reference": "FILE, the baseline's answers"},
  form=_FORM,
)


class Command(NamedTuple):
  """A command line that can run, as far as that is known without the model.

  Attributes:
    args: Its options.
    prompts: What is asked.
    questions: The same, as MT-Bench asks them; none where answers are there.
    baseline: Whose the baseline's answers are.
    shown: What a judge is shown that is asked.
  """

  args: argparse.Namespace
  prompts: list[LimitedPrompt]
  questions: list[Question]
  baseline: str
  shown: pair_judging.Shown | None


def parse(argv: Sequence[str]) -> Command:
  """Reads the options and all files but answers and recorded verdicts.

  Raises:
    ValueError: A file, an option or a judge cannot be used.
    OSError: A file is not there.
  """
  parser = make_parser()
  args = parser.parse_args(argv)
  eval_length_instructed.check(_BENCHMARK, args, parser, argv)
  if args.reference is not None and args.judge is None:
    raise ValueError(
      "--reference is what a judge compares with, and there is no --judge: give"
      " one, or drop --reference."
    )
  prompts = length_instructed_files.read_mt_bench(args.data)
  baseline = "the baseline"
  if args.reference is not None:
    theirs, baseline = _first_turns(args.reference)
    prompts = length_instructed_files.with_baseline(
      prompts, theirs, f"--reference={args.reference}"
    )
  questions: list[Question] = []
  if eval_outputs.name(args) is not None:
    questions = list(mt_bench_files.read_questions(args.data).values())
  for question in questions:
    mt_bench_answers.question_seed(_SEED, question, 1)  # Refuses what has none.
  shown = eval_length_instructed.check_judge(args, prompts, baseline)
  return Command(args, prompts, questions, baseline, shown)


def main(argv: Sequence[str]) -> int:
  """Evaluates, writes with --out, and prints.

  Args:
    argv: The arguments behind `ramjax eval mt_bench_li`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    OSError: A file is not there.
  """
  args, prompts, questions, baseline, shown = parse(argv)
  paths = [args.data, *([args.reference] if args.reference else [])]

  def prepare(model: str) -> None:
    eval_result.prepare(
      args.out,
      benchmark=_BENCHMARK.name,
      model=model,
      files=[*eval_length_instructed.FILES, *eval_outputs.files(args, _FORM)],
      inputs=[*paths, *eval_length_instructed.read_paths(args, shown)],
    )

  outputs = eval_outputs.get_as(
    _FORM, args, _asked(questions), args.out, prepare
  )
  answers, model = _first_turns(outputs.path)
  inputs = eval_length_instructed.Inputs(
    answered=length_instructed.match(prompts, answers),
    model=model,
    baseline=baseline,
    paths=[*paths, outputs.path],
    outputs=outputs,
  )
  eval_length_instructed.run(_BENCHMARK, args, inputs, shown, argv)
  return 0


def _asked(questions: Sequence[Question]) -> eval_outputs.Questions:
  """What a model is asked, as MT-Bench asks its first turns."""

  def check(side: Side) -> None:
    for question in questions:
      side.room([Message("user", question.turns[0])])

  def ask(
    side: Side,
    engine: Engine,
    start: int,
    stop: int,
    tell: Callable[[int], None],
  ) -> list[dict[str, Any]]:
    return mt_bench_answers.answer_records(
      engine,
      questions[start:stop],
      model_id=side.name,
      seed=_SEED,
      tstamp=time.time(),
      max_tokens=side.room,
      progress=tell,
    )

  def write(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    replaced_file.replace_file(path, lines)

  return eval_outputs.Questions(len(questions), check, ask, write)


def _first_turns(
  path: str | pathlib.Path,
) -> tuple[dict[int, str], str]:
  """A model's answers to first turns by id, and its name."""
  answers = mt_bench_files.read_answers(path)
  name = next(iter(answers.values())).model_id
  return {key: answer.turns[0] for key, answer in answers.items()}, name


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval mt_bench_li",
    description=(
      "MT-Bench-LI (arXiv 2406.17744): how many answers to first turns have more"
      " words than the\nquestion lets them (Vlt%), by category too, and with a"
      " judge, how often they win against a\nbaseline's. An answer that is too"
      " long loses, and no judge is asked about it. Too long ones of\nthe"
      " baseline are counted, and judged like others.\n\n"
      "A model that is a folder or an endpoint is asked as MT-Bench asks first"
      " turns, at the\ntemperature of a question's category. Its answers go to"
      f" DIR/{_FORM.file}."
    ),
    epilog=(
      "examples:\n  ramjax eval mt_bench_li --data=mt_bench_li.jsonl"
      " --model=model_answer/mine.jsonl\n"
      "  ramjax eval mt_bench_li --data=mt_bench_li.jsonl"
      " --model=model_answer/mine.jsonl \\\n"
      "    --reference=model_answer/baseline.jsonl"
      " --judge=http://localhost:8000 --judge-name=large \\\n"
      "    --prompt=alpaca_eval_clf.txt --out=results\n"
      "  ramjax eval mt_bench_li --data=mt_bench_li.jsonl --model=runs/mine"
      " --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  for name, required, text in (
    (
      "data",
      True,
      "the questions: records with question_id, category, and turns and max_len"
      " of one entry",
    ),
    ("reference", False, "the baseline's answers, in MT-Bench's format"),
  ):
    parser.add_argument(
      f"--{name}",
      required=required,
      type=pathlib.Path,
      metavar="FILE",
      help=text,
    )
  eval_outputs.add_options(parser, form=_FORM)
  eval_length_instructed.add_options(parser)
  return parser
