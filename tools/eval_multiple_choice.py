# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval multiple_choice`: which of given answers a model finds likely."""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ramjax.data.read import SUFFIXES
from ramjax.evals import choice_files, multiple_choice, pair_encoding
from ramjax.evals.continuations import ContinuationLogp
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.evals.multiple_choice import Marks, Question
from ramjax.tools import eval_likelihood, option_types
from ramjax.tools.loaded_model import LoadedModel

# Format -> by which of `Marks` each set of its questions is marked.
_FIGURES: Mapping[str, Mapping[str, Sequence[str]]] = {
  "arc": {"": ("acc", "acc_norm", "acc_bytes")},
  "hellaswag": {"": ("acc", "acc_norm", "acc_bytes")},
  "mmlu": {"": ("acc",)},
  "truthfulqa": {"mc1": ("acc",), "mc2": ("true_mass",)},
}
# The harness calls mc2's figure acc, too.
_SHOWN: Mapping[str, str] = {"true_mass": "acc"}


def main(argv: Sequence[str]) -> int:
  """Writes the accuracies with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval multiple_choice`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  args, inputs, sets, shots, contexts = parse(argv)
  benchmark = _benchmark(args.format)
  eval_likelihood.prepare(args, benchmark=benchmark, inputs=inputs)
  model = eval_likelihood.load(args)
  results = _scored(args, model.loaded, sets, contexts)
  marks = {
    name: [
      multiple_choice.mark(question, [result.logp for result in found])
      for question, found in zip(questions, results[name], strict=True)
    ]
    for name, questions in sets.items()
  }
  evaluation = evaluate(
    args.format,
    sets,
    marks,
    results,
    model=str(args.model),
    num_shots=args.num_shots or 0,
    num_shown=_num_shown(sets, shots),
  )
  eval_likelihood.conclude(
    evaluation,
    (
      record
      for name, questions in sets.items()
      for record in _records(name, questions, marks[name], results[name])
    ),
    args,
    model,
    inputs=inputs,
    command=["ramjax", "eval", "multiple_choice", *argv],
  )
  return 0


class _Parsed(NamedTuple):
  """The options and what is in the files that they name.

  Attributes:
    args: The options.
    inputs: The files.
    sets: Questions by the name of their file's set.
    shots: Those that are shown as examples, likewise.
    contexts: What stands before each question's choices.
  """

  args: argparse.Namespace
  inputs: list[pathlib.Path]
  sets: dict[str, list[Question]]
  shots: dict[str, list[Question]]
  contexts: dict[str, list[str]]


def parse(argv: Sequence[str]) -> _Parsed:
  """The options, and all that can be made of the files without the model.

  Raises:
    ValueError, OSError: An option or a file that cannot be used.
  """
  args = make_parser().parse_args(argv)
  if (args.shots is None) != (args.num_shots is None):
    raise ValueError("--shots and --num-shots go together: give both, or none.")
  data = _files(args.format, args.data, "_test")
  shot_files = []
  if args.shots is not None:
    shot_files = _files(args.format, args.shots, "_dev")
  sets = read(args.format, data)
  shots = read_shots(args.format, shot_files, args.num_shots or 0)
  contexts = {name: _contexts(args, qs, shots) for name, qs in sets.items()}
  return _Parsed(args, [*data, *shot_files], sets, shots, contexts)


def _benchmark(format_: str) -> str:
  return f"multiple_choice, {format_}"


def read(
  format_: str, files: Sequence[pathlib.Path]
) -> dict[str, list[Question]]:
  """The questions of a format's files, by set ("" where there is one).

  Raises:
    ValueError, OSError: A file that cannot be used.
  """
  if format_ == "truthfulqa":
    return {
      name: choice_files.read_truthfulqa(files[0], name)
      for name in _FIGURES[format_]
    }
  if format_ == "mmlu":
    return {"": [q for path in files for q in choice_files.read_mmlu(path)]}
  of_format = {
    "arc": choice_files.read_arc,
    "hellaswag": choice_files.read_hellaswag,
  }
  return {"": of_format[format_](files[0])}


def read_shots(
  format_: str, files: Sequence[pathlib.Path], number: int
) -> dict[str, list[Question]]:
  """The first `number` examples of each group.

  Raises:
    ValueError, OSError: A file that cannot be used, or has too few.
  """
  found: dict[str, list[Question]] = {}
  for path in files:
    if format_ == "truthfulqa":
      questions = choice_files.read_truthfulqa_shots(path)
    else:
      (questions,) = read(format_, [path]).values()
    if len(questions) < number:
      raise ValueError(
        f"--num-shots={number}: {path} holds {len(questions)} examples."
      )
    found[questions[0].group] = questions[:number]
  return found


def evaluate(
  format_: str,
  sets: dict[str, list[Question]],
  marks: dict[str, list[Marks]],
  results: dict[str, list[list[ContinuationLogp]]],
  *,
  model: str,
  num_shots: int,
  num_shown: int,
) -> Evaluation:
  """Means in percent with their standard errors; of MMLU by subject, too.

  The standard error of all of MMLU is that of one sample of questions; the
  harness pools those of the subjects.

  Args:
    format_: Of the questions.
    sets: Questions by set.
    marks: One for each.
    results: Of each question's choices.
    model: What was asked.
    num_shots: Examples it was shown.
    num_shown: Questions that are among the examples.
  """
  figures: dict[str, Value] = {"examples shown": num_shots}
  for name, questions in sets.items():
    before = f"{name} " if name else ""
    figures[f"{before}questions"] = len(questions)
    for figure in _FIGURES[format_][name]:
      mean, error = multiple_choice.mean_and_error(
        [getattr(m, figure) for m in marks[name]]
      )
      shown = before + _SHOWN.get(figure, figure)
      figures[f"{shown}, %"] = 100 * mean
      figures[f"{shown}, standard error"] = _percent(error)
  counted = {
    "questions whose prompt was cut on the left to fit the model": sum(
      any(result.num_truncated for result in found)
      for of_set in results.values()
      for found in of_set
    ),
    "questions stand there once more, and count again": sum(
      len(questions) - len({(q.prompt, q.choices) for q in questions})
      for questions in sets.values()
    ),
    "questions are among the examples": num_shown,
  }
  return Evaluation(
    benchmark=_benchmark(format_),
    model=model,
    figures=figures,
    tables=_by_group(sets, marks),
    counted={rule: number for rule, number in counted.items() if number},
    notes=_notes(format_, num_shots, num_shown),
  )


def _percent(share: float | None) -> float | None:
  return None if share is None else 100 * share


def _by_group(
  sets: dict[str, list[Question]], marks: dict[str, list[Marks]]
) -> dict[str, list[dict[str, Value]]]:
  groups: dict[str, list[float]] = {}
  for name, questions in sets.items():
    for question, marked in zip(questions, marks[name], strict=True):
      if question.group:
        groups.setdefault(question.group, []).append(marked.acc)
  if not groups:
    return {}
  rows = []
  for group, values in groups.items():
    mean, error = multiple_choice.mean_and_error(values)
    row: dict[str, Value] = {"subject": group, "questions": len(values)}
    row |= {"acc, %": 100 * mean, "standard error": _percent(error)}
    rows.append(row)
  return {"by subject": rows}


def _notes(format_: str, num_shots: int, num_shown: int) -> list[str]:
  notes = ["No chat template is applied."]
  if num_shown:
    notes.append(
      "WARNING: some questions were shown with their answers: take examples"
      " from another split."
    )
  if num_shots and format_ in ("arc", "hellaswag"):
    notes.append(
      f"The first {num_shots} examples of the file were shown; the Language"
      " Model Evaluation Harness draws others for each question, so that"
      " figures with examples differ a little."
    )
  if format_ == "truthfulqa" and num_shots != 6:
    notes.append(
      "WARNING: published figures show the paper's six examples before each"
      " question: give them with --shots and --num-shots=6."
    )
  return notes


def _files(format_: str, path: pathlib.Path, end: str) -> list[pathlib.Path]:
  """The file itself, or MMLU's of a folder."""
  if not path.is_dir():
    if path.suffix == ".csv" and format_ != "mmlu":
      raise ValueError(
        f"{path}: .csv is MMLU's format, and --format={format_} reads"
        f" {', '.join(SUFFIXES)}: give another --format or file."
      )
    return [path]
  found = sorted(path.glob(f"*{end}.csv")) if format_ == "mmlu" else []
  if not found:
    raise ValueError(
      f"{path} is a folder: name a file, or of MMLU a folder with files"
      f" *{end}.csv."
    )
  return found


def _num_shown(
  sets: dict[str, list[Question]], shots: dict[str, list[Question]]
) -> int:
  """Questions that are among the examples."""
  shown = {shot.prompt for examples in shots.values() for shot in examples}
  return sum(q.prompt in shown for qs in sets.values() for q in qs)


def _contexts(
  args: argparse.Namespace,
  questions: Sequence[Question],
  shots: dict[str, list[Question]],
) -> list[str]:
  """What stands before each question's answers."""
  contexts = []
  for question in questions:
    if shots and question.group not in shots:
      raise ValueError(
        f"--shots={args.shots} has no examples for {question.group!r}: MMLU's"
        " are by subject, in files named for it."
      )
    description = ""
    if args.format == "mmlu":
      description = choice_files.mmlu_description(question.group)
    contexts.append(
      multiple_choice.context_of(
        question, shots.get(question.group, []), description
      )
    )
  return contexts


def _scored(
  args: argparse.Namespace,
  model: LoadedModel,
  sets: dict[str, list[Question]],
  contexts: dict[str, list[str]],
) -> dict[str, list[list[ContinuationLogp]]]:
  """Results of each choice of each question, all sets in one go."""
  pairs = []
  for name, questions in sets.items():
    for question, context in zip(questions, contexts[name], strict=True):
      for continuation in multiple_choice.continuations_of(question):
        try:
          pairs.append(
            pair_encoding.encode_pair(
              context, continuation, tokenizer=model.tokenizer
            )
          )
        except ValueError as error:
          raise ValueError(f"{question.where}: {error}") from error
  found = iter(eval_likelihood.score(args, model, pairs))
  return {
    name: [[next(found) for _ in question.choices] for question in questions]
    for name, questions in sets.items()
  }


def _records(
  name: str,
  questions: Sequence[Question],
  marks: Sequence[Marks],
  results: Sequence[Sequence[ContinuationLogp]],
) -> list[dict[str, object]]:
  return [
    {
      **({"set": name} if name else {}),
      "where": question.where,
      **({"group": question.group} if question.group else {}),
      "prompt": question.prompt,
      "choices": question.choices,
      "right": question.right,
      "logps": [result.logp for result in found],
      "is_greedy": [result.is_greedy for result in found],
      "chosen": marked.chosen,
      "acc": marked.acc,
      "acc_norm": marked.acc_norm,
      "acc_bytes": marked.acc_bytes,
      "true_mass": marked.true_mass,
    }
    for question, marked, found in zip(questions, marks, results, strict=True)
  ]


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval multiple_choice",
    description=(
      "Ask the questions of ARC, HellaSwag, MMLU or TruthfulQA; the answer"
      " that the model finds likeliest\ncounts. Prompts and figures are those"
      " of the Language Model Evaluation Harness: acc by likelihood,\nacc_norm"
      " by likelihood per character, acc_bytes per byte; TruthfulQA's mc2 is"
      " the probability of\nthe true answers among all."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval multiple_choice --format=arc --model=runs/mine \\\n"
      "      --data=ARC-Challenge-Test.jsonl --out=evals/arc\n"
      "  ramjax eval multiple_choice --format=mmlu --model=runs/mine \\\n"
      "      --data=data/test --shots=data/dev --num-shots=5"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--format",
    required=True,
    choices=list(_FIGURES),
    help="whose questions, and in whose files",
  )
  parser.add_argument(
    "--data",
    required=True,
    type=pathlib.Path,
    metavar="FILE",
    help="the official file of questions; of MMLU one subject's, or the folder"
    " of all (*_test.csv)",
  )
  parser.add_argument(
    "--shots",
    type=pathlib.Path,
    metavar="FILE",
    help="examples, shown before each question: a file of another split; of MMLU"
    " a subject's, or the folder of all (*_dev.csv); for TruthfulQA records of"
    " question and answer",
  )
  parser.add_argument(
    "--num-shots",
    type=option_types.positive_int,
    metavar="N",
    help="how many of them: the first ones",
  )
  eval_likelihood.add_options(parser)
  return parser
