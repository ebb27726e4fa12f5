# SPDX-License-Identifier: Apache-2.0
"""The files that a run of MT-Bench needs, and whether they go together."""

import argparse
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from ramjax.evals import mt_bench_files, mt_bench_judging
from ramjax.evals.mt_bench_files import JudgePrompt, ModelAnswer, Question
from ramjax.tools import eval_mt_bench_options

Answers = Mapping[int, ModelAnswer]


class Inputs(NamedTuple):
  """What was given.

  Attributes:
    questions: By id.
    prompts: The judge's, by name.
    references: Reference answers by id of the question; may be none.
    baseline: The answers that others are compared with; None where answers are
      graded.
    answers: Those that are judged; None where a model answers first.
    paths: All of these files.
  """

  questions: Mapping[int, Question]
  prompts: Mapping[str, JudgePrompt]
  references: Answers
  baseline: Answers | None
  answers: Answers | None
  paths: list[pathlib.Path]

  @property
  def baseline_name(self) -> str | None:
    """Whose answers the baseline is."""
    return None if self.baseline is None else name_of(self.baseline)


def read(args: argparse.Namespace) -> Inputs:
  """Reads the files, before anything is asked.

  Args:
    args: Of `eval_mt_bench_options.parse`, with a judge that judges.

  Raises:
    ValueError: One is bad, or they do not go together.
    FileNotFoundError: One is not there.
  """
  paths = [args.questions, args.judge_prompts]
  references: Answers = {}
  if args.references is not None:
    references = mt_bench_files.read_answers(args.references)
    paths.append(args.references)
  questions = mt_bench_files.read_questions(args.questions)
  prompts = mt_bench_files.read_prompts(args.judge_prompts)
  try:
    mt_bench_judging.check(
      questions, prompts=prompts, references=references, mode=args.mode
    )
  except ValueError as error:
    raise ValueError(
      f"{error} (--judge-prompts={args.judge_prompts},"
      f" --references={args.references or 'not given'})"
    ) from error
  baseline = answers = None
  if args.baseline is not None:
    baseline = mt_bench_files.read_answers(args.baseline)
    paths.append(pathlib.Path(args.baseline))
  if not eval_mt_bench_options.answers(args):
    if not os.path.exists(args.model):
      raise FileNotFoundError(
        f"--model={args.model} is no URL, and there is no folder or file: give"
        " a run's folder, a Hugging Face one, an answer file, or a URL that"
        " begins with http:// or https://."
      )
    answers = mt_bench_files.read_answers(args.model)
    paths.append(pathlib.Path(args.model))
  for each in (answers, baseline):
    if each is not None:
      mt_bench_judging.check_answers(each, questions)
  return Inputs(questions, prompts, references, baseline, answers, paths)


def name_of(answers: Answers) -> str:
  """Whose they are."""
  return next(iter(answers.values())).model_id


def digest(answers: Answers) -> str:
  """SHA-256 (hex) of what was answered, and not of when."""
  said = [
    [answer.model_id, number, *answer.turns]
    for number, answer in sorted(answers.items())
  ]
  return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def sha256(path: pathlib.Path) -> str:
  """SHA-256 (hex) of a file."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
