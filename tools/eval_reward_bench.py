# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval reward_bench`: RewardBench 1 and 2, of a model or its scores."""

import argparse
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import (
  eval_result,
  eval_reward_bench_run,
  reward_bench_files,
  scoring_options,
)
from ramjax.tools.eval_reward_bench_run import Questions
from ramjax.tools.reward_bench_files import RESULTS_FILE, VERSIONS, File
from ramjax.tools.scoring_options import SCORES_FILE


def main(argv: Sequence[str]) -> int:
  """Evaluates one model, writes its figures with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval reward_bench`.

  Returns:
    0.

  Raises:
    ValueError: A file is none of this benchmark.
    OSError: A file cannot be read or written.
  """
  args, asked, given = parse(argv)
  command = ["ramjax", "eval", "reward_bench", *argv]
  if asked is not None:
    return eval_reward_bench_run.run(args, asked, command)
  assert given is not None
  written = []
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=given.evaluation.benchmark,
      model=given.evaluation.model,
      files=[RESULTS_FILE],
      inputs=given.paths,
    )
    results = {**given.texts, **given.figures}
    written.append(reward_bench_files.write_results(results, args.out))
  eval_result.conclude(
    given.evaluation,
    args.out,
    inputs=given.paths,
    command=command,
    written_before=written,
  )
  return 0


class Given(NamedTuple):
  """What files of scores or results come to.

  Attributes:
    paths: Theirs.
    texts: What they say of the model.
    evaluation: The evaluation.
    figures: One for each subset.
  """

  paths: list[pathlib.Path]
  texts: dict[str, str]
  evaluation: Evaluation
  figures: dict[str, float]


class Parsed(NamedTuple):
  """A command line, and what stands in the files that it names.

  Attributes:
    args: Its options.
    asked: What a model's folder is run on; None where --model is a file.
    given: What the files come to; None where --model is a folder.
  """

  args: argparse.Namespace
  asked: Questions | None
  given: Given | None


def parse(argv: Sequence[str]) -> Parsed:
  """Reads a command line and its files; refuses what needs no model to tell.

  Args:
    argv: The arguments behind `ramjax eval reward_bench`.

  Raises:
    ValueError: Options that do not go together, or a file that is none of this
      benchmark.
    OSError: A file cannot be read.
  """
  args = make_parser().parse_args(argv)
  if args.model.is_dir():
    return Parsed(args, eval_reward_bench_run.parse(args), None)
  _refuse_scoring(args)
  paths = [args.model, *([] if args.prior is None else [args.prior])]
  files = [reward_bench_files.read_file(path) for path in paths]
  version = args.version or reward_bench_files.find_version(files[0])
  if args.prior is not None and version != 1:
    raise ValueError("--prior: RewardBench 2 has no prior sets. Leave it out.")
  evaluation, figures = _evaluate(version, files)
  return Parsed(args, None, Given(paths, files[0].texts, evaluation, figures))


def _refuse_scoring(args: argparse.Namespace) -> None:
  """Refuses what a folder alone can be asked for."""
  asked = scoring_options.given(args)
  if args.data is not None:
    asked.insert(0, "--data")
  if asked:
    raise ValueError(
      f"{', '.join(asked)}: for a model's folder, which --model={args.model} is"
      " not. Name a folder, or leave that out for a file of scores or results."
    )


def _evaluate(
  version: int, files: Sequence[File]
) -> tuple[Evaluation, dict[str, float]]:
  rules = VERSIONS[version]
  model = files[0].texts["model"]
  of_items = [file for file in files if file.rows is not None]
  if len(of_items) == len(files):
    items = [
      [rules.read_item(record, where) for where, record in file.rows or ()]
      for file in files
    ]
    _require_apart(files, [[x.subset for x in found] for found in items])
    return rules.evaluate_items(list(itertools.chain(*items)), model)
  if of_items:
    raise ValueError(
      "--model and --prior: one is a file of scores and the other one of"
      " results: name two of one kind."
    )
  _require_apart(files, [file.results or {} for file in files])
  results = {k: x for file in files for k, x in (file.results or {}).items()}
  return rules.evaluate_results(results, model, str(files[0].path))


def _require_apart(
  files: Sequence[File], subsets: Sequence[Iterable[str]]
) -> None:
  """Refuses a subset that two files hold."""
  for file, names in zip(files[1:], subsets[1:], strict=True):
    if twice := sorted(set(subsets[0]) & set(names)):
      raise ValueError(
        f"{file.path}: {', '.join(twice)}: also in {files[0].path}. Keep one."
      )


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval reward_bench",
    description=(
      "RewardBench 1 (arXiv 2403.13787) and 2 (arXiv 2506.01937): how often a"
      " reward model prefers the\nanswer that people chose. --model is a folder"
      " that is run on --data, or one of\n"
      "  results  one JSON object, subset -> accuracy, as the authors' tool"
      " writes it;\n"
      "  scores   a JSON list or JSONL, an object an item, or the authors' one"
      " object of lists:\n"
      "           version 1: subset, scores_chosen, scores_rejected, id (may"
      " be missing); a judge of\n"
      "           pairs has results, 1, 0 or 0.5 (no verdict), instead of"
      " scores;\n"
      "           version 2: subset, scores (right answers first),"
      " num_correct, id.\n"
      "A reward model is run as the authors run it: the chat template around"
      " prompt and answer, 2,048\ntokens, of which the last are kept; but BOS"
      " stands once, where their pipeline may put two.\n"
      "Log-probabilities are not theirs. Ours are of the answer and its end behind"
      " the prompt, whose start\ngives way where both are too long. Theirs take"
      " the whole conversation, its prompt among it, for\nthe answer behind the"
      " prompt; add EOS, which counts; and where both are too long, keep the"
      " prompt's\nlast 128 tokens and cut the answer's end."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval reward_bench --model=runs/reward --data=filtered.parquet"
      " --out=evals/mine\n"
      "  ramjax eval reward_bench --model=runs/dpo --reference=runs/sft"
      " --data=filtered.parquet\n"
      "  ramjax eval reward_bench --model=scores.jsonl --out=evals/my-model"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--model",
    type=pathlib.Path,
    required=True,
    metavar="FOLDER|FILE",
    help="a reward model or language model with its tokenizer (a run's folder or"
    " a Hugging Face one), or scores or results of one",
  )
  parser.add_argument(
    "--data",
    type=pathlib.Path,
    metavar="FILE",
    help="what a folder is run on, official rows (.jsonl, .json, .parquet):"
    " prompt, chosen, rejected, subset, id; allenai/reward-bench is version 1,"
    " allenai/reward-bench-2 version 2",
  )
  scoring_options.add_options(parser)
  parser.add_argument(
    "--prior",
    type=pathlib.Path,
    metavar="FILE",
    help="version 1: the same of the prior sets, where a file is without",
  )
  parser.add_argument(
    "--version",
    type=int,
    choices=sorted(VERSIONS),
    help="of the benchmark (default: the one whose subsets the file names)",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE} and {RESULTS_FILE}, the authors' format; of"
    f" a folder also {SCORES_FILE}, which --model reads",
  )
  return parser
