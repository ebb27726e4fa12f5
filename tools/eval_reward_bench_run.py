# SPDX-License-Identifier: Apache-2.0
"""RewardBench of a model's folder: it scores the benchmark's answers here."""

import argparse
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Sequence

from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import replaced_file, response_rows, reward_bench_data
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.padded_rows import Row
from ramjax.evals.response_scorers import IMPLICIT, REWARD
from ramjax.evals.reward_bench_data import Question
from ramjax.tools import eval_result, reward_bench_files, scoring_options
from ramjax.tools.reward_bench_files import RESULTS_FILE, VERSIONS
from ramjax.tools.scoring_model import Scoring
from ramjax.tools.scoring_options import SCORES_FILE

# As the authors' files of results call them.
_MODEL_TYPES = {REWARD: "Seq. Classifier", IMPLICIT: "DPO"}


def run(args: argparse.Namespace, command: Sequence[str]) -> int:
  """Runs a model on the benchmark, writes with --out, and prints.

  Args:
    args: Of `ramjax eval reward_bench`; `model` is a folder.
    command: The words that make it again.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
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
  version, questions = read_questions(args.data, args.version)
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
  conversations = [c for one in questions for c in one.conversations]

  def make(tokenizer: Tokenizer) -> tuple[list[Row], int]:
    return response_rows.conversation_rows(
      conversations,
      template=template,
      tokenizer=tokenizer,
      max_length=scoring.max_length,
    )

  rows, num_cut = scoring.tokenized(make)
  scores = scoring.score(rows).tolist()
  evaluation, figures, records = _evaluated(
    version, questions, scores, str(args.model)
  )
  written = []
  if args.out is not None:
    written.append(args.out / SCORES_FILE)
    replaced_file.replace_file(
      written[0],
      (
        json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        for record in records
      ),
    )
    texts = _texts(scoring, template)
    written.append(
      reward_bench_files.write_results({**texts, **figures}, args.out)
    )
  counted = {
    **evaluation.counted,
    "answers are longer with their prompt than --max-length: the end is read": (
      num_cut
    ),
    "answers are empty": sum(not c.response for c in conversations),
  }
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


def read_questions(
  path: pathlib.Path, version: int | None
) -> tuple[int, list[Question]]:
  """Reads the benchmark's questions.

  Args:
    path: The authors' data, in any format that `read.read_records` takes.
    version: Of the benchmark; None is the one whose subset it names first.

  Returns:
    The version, and the questions.

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
  return version, questions


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
