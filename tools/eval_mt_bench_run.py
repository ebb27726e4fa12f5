# SPDX-License-Identifier: Apache-2.0
"""A run of MT-Bench: one model answers, another judges, in files that resume."""

import argparse
import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.data.rows import Message
from ramjax.evals import (
  grade_canaries,
  mt_bench_answers,
  mt_bench_files,
  mt_bench_judging,
)
from ramjax.evals.engine import Engine
from ramjax.evals.evaluation import Value
from ramjax.evals.mt_bench_files import Question
from ramjax.evals.mt_bench_judging import Case
from ramjax.tools import (
  eval_mt_bench_inputs,
  eval_mt_bench_shown,
  eval_result,
  eval_sides,
  judge_failures,
)
from ramjax.tools.eval_mt_bench_inputs import Answers, Inputs
from ramjax.tools.eval_sides import Side
from ramjax.tools.generate_progress import GenerateProgress, say
from ramjax.tools.judge_failures import Failures
from ramjax.tools.resumed_rows import SIDE_SUFFIX, ResumedRows

# Makes the rows from one index to another.
_Make = Callable[
  [Engine, int, int, Callable[[int], None]], list[dict[str, Any]]
]


class Judged(NamedTuple):
  """What a run came to.

  Attributes:
    path: The finished judgments.
    folder: Where the evaluation belongs.
    model: Who is judged, as the judgments name it.
    baseline: With whom it is compared, likewise; None where it is graded.
    inputs: The judgments, and the files that were given.
    canaries: What the judge made of canaries: rows for a table.
    num_failed: Requests that the judge gave no answer to, now.
  """

  path: pathlib.Path
  folder: pathlib.Path
  model: str
  baseline: str | None
  inputs: list[pathlib.Path]
  canaries: list[dict[str, Value]]
  num_failed: int


def judged(args: argparse.Namespace) -> Judged:
  """Answers and judges what is not there yet.

  Args:
    args: Of `eval_mt_bench_options.parse`, with a judge that judges.

  Raises:
    ValueError: A file or an option that cannot be used.
    OSError: A file, or an endpoint that gives no answer.
  """
  inputs = eval_mt_bench_inputs.read(args)
  most = mt_bench_judging.MAX_TOKENS
  with eval_sides.opened(args, "judge", most=most) as judge:
    answers = inputs.answers
    if answers is None:
      answers = _answered(args, inputs)
    return _judge(args, inputs, answers, judge)


def _answered(args: argparse.Namespace, inputs: Inputs) -> Answers:
  questions = list(inputs.questions.values())
  seed = args.seed or 0
  for question in questions:
    mt_bench_answers.question_seed(seed, question, 1)  # Refuses what has none.
  most = mt_bench_answers.MAX_TOKENS
  with eval_sides.opened(args, "model", most=most) as side:
    _check_names(args, inputs, side.name)
    for question in questions:
      # Behind a first answer that is as long as it may be.
      side.room(_last_turn(question), more=side.most * (_turns(question) - 1))

    def make(
      engine: Engine, start: int, stop: int, tell: Callable[[int], None]
    ) -> list[dict[str, Any]]:
      return mt_bench_answers.answer_records(
        engine,
        questions[start:stop],
        model_id=side.name,
        seed=seed,
        tstamp=_now(),
        max_tokens=side.room,
        progress=tell,
      )

    name = f"{eval_mt_bench_shown.file_name(side.name)}.jsonl"
    path = args.out / eval_mt_bench_shown.ANSWERS / name
    command = {
      "questions": eval_mt_bench_inputs.sha256(args.questions),
      "seed": seed,
      "max_tokens": side.most,
      "model": {"name": side.name, **side.identity},
    }
    eval_result.refuse_inputs([path], inputs.paths)
    _make_rows(
      args,
      path,
      command,
      side,
      make,
      total=len(questions),
      chunk=side.chunk,
      asked_of_a_row=max(map(_turns, questions)),
    )
    return mt_bench_files.read_answers(path)


def _judge(
  args: argparse.Namespace, inputs: Inputs, answers: Answers, judge: Side
) -> Judged:
  model = eval_mt_bench_inputs.name_of(answers)
  _check_names(args, inputs, model)
  cases = mt_bench_judging.cases(
    inputs.questions,
    answers,
    prompts=inputs.prompts,
    references=inputs.references,
    baseline=inputs.baseline,
  )
  shown = [messages for case in cases for messages in case.conversations]
  if short := sum(judge.room(messages) < judge.most for messages in shown):
    say(
      f"{short} of {len(shown)} verdicts have room for less than {judge.most}"
      f" tokens in {judge.name}"
    )
  first_turns = [case for case in cases if case.turn == 1]
  canaries = grade_canaries.make(
    [case.answer.turns[0] for case in first_turns],
    num=args.canaries,
    seed=args.seed or 0,
  )
  of_canaries = mt_bench_judging.canary_cases(
    first_turns,
    canaries,
    prompts=inputs.prompts,
    references=inputs.references,
  )
  stem = _stem(inputs, model)
  folder = f"{eval_mt_bench_shown.file_name(judge.name)}_{args.mode}"
  path = args.out / eval_mt_bench_shown.JUDGMENTS / folder / f"{stem}.jsonl"
  canary_path = args.out / eval_mt_bench_shown.CANARIES / folder / path.name
  eval_result.refuse_inputs([path, canary_path], inputs.paths)
  command = {
    **_digests(args, inputs),
    "answers": eval_mt_bench_inputs.digest(answers),
    "max_tokens": judge.most,
    "judge": {"name": judge.name, **judge.identity},
  }
  most = judge_failures.most_of(args.max_invalid, len(shown))
  failures = Failures(most)
  _judged_rows(args, path, command, judge, cases, failures)
  records = _records(path)
  _require_valid(path, records, args.max_invalid)
  drawn = {"canaries": args.canaries, "seed": args.seed or 0}
  if canaries:
    _judged_rows(
      args,
      canary_path,
      {**command, **drawn},
      judge,
      of_canaries,
      Failures(len(shown)),
    )
  return Judged(
    path=path,
    folder=args.out / stem,
    model=model,
    baseline=inputs.baseline_name,
    inputs=[path, *inputs.paths],
    canaries=grade_canaries.rows(
      canaries,
      [
        mt_bench_judging.grade_of(record)
        for record in records
        if record["turn"] == 1
      ],
      [
        mt_bench_judging.grade_of(record)
        for record in (_records(canary_path) if canaries else [])
      ],
      # Of grades; of comparisons a loss.
      lowest=1.0 if args.mode == "single" else 0.0,
    )
    if canaries
    else [],
    num_failed=failures.num,
  )


def _judged_rows(
  args: argparse.Namespace,
  path: pathlib.Path,
  command: Mapping[str, Any],
  judge: Side,
  cases: Sequence[Case],
  failures: Failures,
) -> None:
  """Judges the cases that a file has not."""

  def make(
    engine: Engine, start: int, stop: int, tell: Callable[[int], None]
  ) -> list[dict[str, Any]]:
    return mt_bench_judging.judgment_records(
      engine,
      cases[start:stop],
      judge=judge.name,
      tstamp=_now(),
      max_tokens=judge.room,
      progress=tell,
    )

  games = len(cases[0].conversations)
  try:
    _make_rows(
      args,
      path,
      command,
      judge,
      make,
      total=len(cases),
      chunk=max(1, judge.chunk // games),
      asked_of_a_row=games,
      on_failure=failures,
    )
  except ValueError:
    if failures.exceeded:
      # What it failed on stands there as no verdict. All it said is kept apart,
      # so that nothing is asked twice.
      path.unlink(missing_ok=True)
      path.with_name(path.name + SIDE_SUFFIX).unlink(missing_ok=True)
    raise


def _records(path: pathlib.Path) -> list[dict[str, Any]]:
  """What was judged, in the order of the cases."""
  lines = path.read_text("utf-8").splitlines()
  return [json.loads(line) for line in lines]


def _require_valid(
  path: pathlib.Path, records: Sequence[Mapping[str, Any]], most: float
) -> None:
  """Refuses judgments too many of which have no verdict.

  Raises:
    ValueError: How many, and what to do.
  """
  missing = sum(mt_bench_judging.grade_of(each) is None for each in records)
  if missing > judge_failures.most_of(most, len(records)):
    raise ValueError(
      f"{missing} of {len(records)} judgments have no verdict, a share of"
      f" {missing / len(records):.3f}, and at most {most:g} may (--max-invalid)."
      f" The judge's words are in {path}. --force judges anew, and asks only"
      " what got no answer."
    )


def _digests(args: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
  """What tells the files from others, but for the answers."""
  files = {
    "questions": args.questions,
    "prompts": args.judge_prompts,
    "references": args.references,
  }
  return {
    name: path and eval_mt_bench_inputs.sha256(path)
    for name, path in files.items()
  } | {
    "baseline": inputs.baseline and eval_mt_bench_inputs.digest(inputs.baseline)
  }


def _make_rows(
  args: argparse.Namespace,
  path: pathlib.Path,
  command: Mapping[str, Any],
  side: Side,
  make: _Make,
  *,
  total: int,
  chunk: int,
  asked_of_a_row: int,
  on_failure: Failures | None = None,
) -> None:
  """Chunk by chunk, from the first row that is not there."""
  path.parent.mkdir(parents=True, exist_ok=True)
  opened = ResumedRows(
    path, command, chunk=chunk, total=total, force=args.force
  )
  with opened as rows, contextlib.ExitStack() as stack:
    done = rows.num_rows
    if done == total:
      return
    say(f"{path}: {side.name} is asked")
    engine = stack.enter_context(
      side.engine(args.out / eval_mt_bench_shown.CACHE, on_failure)
    )
    progress = stack.enter_context(
      GenerateProgress(total, done, asked_of_a_row)
    )
    for start in range(done, total, chunk):
      stop = min(start + chunk, total)
      rows.append(make(engine, start, stop, progress.tell))
      progress.rows_written(rows.num_rows)


def _check_names(args: argparse.Namespace, inputs: Inputs, model: str) -> None:
  """Refuses names that clash, before anything is asked."""
  if inputs.baseline_name == model:
    raise ValueError(
      f"--baseline={args.baseline} has answers of {model!r}, which is the name"
      " of --model, too: no verdict could say which is better. Name the model"
      " with --model-name, or compare with another."
    )
  stem = _stem(inputs, model)
  (folder,) = eval_mt_bench_shown.folders(args.out, [stem]).values()
  eval_result.prepare(
    folder, benchmark="mt_bench", model=model, files=[], inputs=inputs.paths
  )


def _stem(inputs: Inputs, model: str) -> str:
  """Of the judgments' file, and of the evaluation's folder."""
  name = eval_mt_bench_shown.file_name(model)
  if inputs.baseline_name is None:
    return name
  return f"{name}_vs_{eval_mt_bench_shown.file_name(inputs.baseline_name)}"


def _turns(question: Question) -> int:
  return len(question.turns)


def _last_turn(question: Question) -> list[Message]:
  """The conversation before the last answer, with no words of the others."""
  messages = [Message("user", question.turns[0])]
  for text in question.turns[1:]:
    messages += [Message("assistant", ""), Message("user", text)]
  return messages


def _now() -> float:
  return time.time()
