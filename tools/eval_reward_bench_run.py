# SPDX-License-Identifier: Apache-2.0
"""RewardBench of a model's folder: it scores the benchmark's answers here."""

import argparse
import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import record_file, response_rows, reward_bench_data
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.padded_rows import Row
from ramjax.evals.response_rows import CutRows
from ramjax.evals.response_scorers import IMPLICIT, REWARD
from ramjax.evals.reward_bench_data import Question
from ramjax.tools import eval_result, reward_bench_files, scoring_options
from ramjax.tools.reward_bench_files import RESULTS_FILE, VERSIONS
from ramjax.tools.scoring_model import Scoring
from ramjax.tools.scoring_options import SCORES_FILE

# As the authors' files of results call them.
_MODEL_TYPES = {REWARD: "Seq. Classifier", IMPLICIT: "DPO"}


class Questions(NamedTuple):
  """The benchmark's questions, and of which version they are."""

  version: int
  questions: list[Question]


def parse(args: argparse.Namespace) -> Questions:
  """Refuses what needs no model to tell, and reads the questions.

  Args:
    args: Of `ramjax eval reward_bench`; `model` is a folder.

  Raises:
    ValueError: Options that do not go together, or what `read_questions` raises.
    OSError: A file cannot be read.
  """
  if args.data is None:
    raise ValueError(
      f"--model={args.model} is a folder: name what it is run on with --data,"
      " RewardBench's own rows."
    )
  if args.prior is not None:
    raise ValueError(
      "--prior: for files of scores or results. A folder is run on --data:"
      " append the prior sets' rows there."
    )
  scoring_options.check(args)
  return read_questions(args.data, args.version)


def run(
  args: argparse.Namespace, asked: Questions, command: Sequence[str]
) -> int:
  """Runs a model on the benchmark, writes with --out, and prints.

  Args:
    args: As of `parse`.
    asked: From `parse`.
    command: The words that make it again.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  version, questions = asked
  scoring = scoring_options.open_scoring(args)
  template = scoring.template()
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=VERSIONS[version].BENCHMARK,
      model=str(args.model),
      files=[SCORES_FILE, RESULTS_FILE],
      inputs=[args.data],
    )
  rows, counted = _rows(scoring, questions, template)
  places = [
    f"{one.where}, answer {number}"
    for one in questions
    for number in range(1, len(one.answers) + 1)
  ]
  scores = scoring.score(rows, places).tolist()
  evaluation, figures, records = _evaluated(
    version, questions, scores, str(args.model)
  )
  written = []
  if args.out is not None:
    results = {**_texts(scoring, template), **figures}
    written = [
      record_file.write_records(args.out / SCORES_FILE, records),
      reward_bench_files.write_results(results, args.out),
    ]
  counted = {**evaluation.counted, **counted}
  eval_result.conclude(
    dataclasses.replace(
      evaluation,
      counted={rule: n for rule, n in counted.items() if n},
      notes=[*evaluation.notes, scoring.describe()],
    ),
    args.out,
    inputs=[args.data],
    command=command,
    model_identity=scoring.identity(),
    written_before=written,
  )
  return 0


def _rows(
  scoring: Scoring, questions: Sequence[Question], template: str
) -> tuple[list[Row], dict[str, int]]:
  """A row for each answer, and how many were cut or are empty."""

  def make(tokenizer: Tokenizer) -> tuple[list[Row], CutRows]:
    conversations = [question.conversations for question in questions]
    options: dict[str, Any] = dict(
      template=template, tokenizer=tokenizer, max_length=scoring.max_length
    )
    if scoring.kind == REWARD:
      every = list(itertools.chain(*conversations))
      found = response_rows.conversation_rows(every, **options)
    else:
      found = response_rows.answer_rows(conversations, **options)
    return found.rows, found

  rows, found = scoring.tokenized(make)
  answers = itertools.chain(*(question.answers for question in questions))
  is_reward = scoring.kind == REWARD
  kept = "the end is read" if is_reward else "prompts lose their start"
  return rows, {
    f"answers are longer with their prompt than --max-length: {kept}": (
      found.num_cut
    ),
    "answers are longer than --max-length without their prompt, and lose their"
    " end": found.num_responses_cut,
    "answers are empty": sum(not answer for answer in answers),
  }


def read_questions(path: pathlib.Path, version: int | None) -> Questions:
  """Reads the benchmark's questions.

  Args:
    path: The authors' data, in any format that `read.read_records` takes.
    version: Of the benchmark; None is the one whose subset it names first.

  Returns:
    The questions, and their version.

  Raises:
    ValueError: They cannot be scored as the benchmark's, or are none of it.
    OSError: The file cannot be read.
  """
  file = reward_bench_files.read_file(path)
  if file.rows is None:
    raise ValueError(
      f"--data={path} holds results: name RewardBench's own rows, with prompt,"
      " chosen, rejected, subset and id."
    )
  version = version or reward_bench_files.find_version(file)
  questions = [
    reward_bench_data.read_question(record, where, version)
    for where, record in file.rows
  ]
  # Whatever can be wrong with them is, with any scores.
  nothing = [0.0] * sum(len(question.answers) for question in questions)
  _evaluated(version, questions, nothing, "")
  return Questions(version, questions)


def _evaluated(
  version: int,
  questions: Sequence[Question],
  scores: Sequence[float],
  model: str,
) -> tuple[Evaluation, dict[str, float], list[dict[str, object]]]:
  """The evaluation, a figure for each subset, and the records of scores."""
  rules = VERSIONS[version]
  left = iter(scores)
  records = [
    reward_bench_data.scores_record(
      question, list(itertools.islice(left, len(question.answers))), version
    )
    for question in questions
  ]
  items = [
    rules.read_item(record, question.where)
    for record, question in zip(records, questions, strict=True)
  ]
  return *rules.evaluate_items(items, model), records


def _texts(scoring: Scoring, template: str) -> dict[str, str]:
  """What the authors' files of results say of a model."""
  texts = {
    "model": str(scoring.model.folder),
    "model_type": _MODEL_TYPES.get(scoring.kind, scoring.kind),
    "chat_template": template,
  }
  if scoring.reference is not None:
    texts["ref_model"] = str(scoring.reference.folder)
  return texts
