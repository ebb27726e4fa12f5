# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval harness`: tasks of the Language Model Evaluation Harness.

The harness (lm_eval) brings the tasks, their prompts and their metrics; the
model is ours. Tasks of a folder of one's own need no network.
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ramjax.data import templates
from ramjax.evals.harness_model import harness_lm
from ramjax.models import carried_files, model_folder, strict_json
from ramjax.tools import (
  chat_files,
  eval_likelihood,
  eval_result,
  harness_results,
  harness_run,
  harness_tasks,
  local_model,
  option_types,
)
from ramjax.tools.harness_tasks import Tasks
from ramjax.tools.local_model import LocalModel

_MAX_BYTES = 2**20


class Parsed(NamedTuple):
  """A command line, and what it names.

  Attributes:
    args: Its options.
    names: Of tasks and groups, or patterns, as given.
    tasks: What they come to.
  """

  args: argparse.Namespace
  names: list[str]
  tasks: Tasks


def main(argv: Sequence[str]) -> int:
  """Writes the figures with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval harness`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  args, names, tasks = parse(argv)
  benchmark = f"harness, {', '.join(names)}"
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=benchmark,
      model=str(args.model),
      files=[harness_results.FILE],
      inputs=tasks.files,
    )
  opened = _opened(args)
  model = harness_run.LazyModel(args)
  template = opened.template if args.apply_chat_template else None
  lm = harness_lm(
    opened.tokenizer,
    score=model.score,
    sample=model.sample,
    max_length=args.max_length or opened.source.config.max_positions,
    stop_tokens=stop_tokens(opened),
    template=template,
  )
  found, data = harness_run.run(lm, model, tasks, args)
  samples = found.pop("samples", {})
  written = []
  if args.out is not None:
    written = harness_results.write(args.out, found, samples)
  eval_result.conclude(
    harness_results.evaluation(
      found,
      benchmark=benchmark,
      model=str(args.model),
      template=template,
      num_truncated=lm.num_truncated,
    ),
    args.out,
    inputs=[*tasks.files, *data],
    command=["ramjax", "eval", "harness", *argv],
    model_identity={**model.loaded.identity, "template": template},
    written_before=written,
  )
  return 0


def parse(argv: Sequence[str]) -> Parsed:
  """Reads a command line, and refuses what can be told without the model.

  Args:
    argv: The arguments behind `ramjax eval harness`.

  Raises:
    ValueError: Options that do not go together, no harness installed, a task
      that is not there, or one that asks for what no model of ours does.
  """
  args = make_parser().parse_args(argv)
  if args.template and not args.apply_chat_template:
    raise ValueError(
      f"--template={args.template} goes with --apply-chat-template: give that,"
      " too, or leave --template out."
    )
  if args.log_samples and args.out is None:
    raise ValueError(
      "--log-samples goes with --out=DIR, where they are written: give that,"
      " too, or leave --log-samples out."
    )
  names = list(dict.fromkeys(filter(None, args.tasks.split(","))))
  harness_tasks.import_harness("lm_eval.evaluator")
  return Parsed(args, names, harness_tasks.find_tasks(names, args.include_path))


def _opened(args: argparse.Namespace) -> LocalModel:
  """The model's folder, without its weights."""
  # Naming a template spares the search for the model's own.
  template = (args.template or "") if args.apply_chat_template else "plain"
  opened = local_model.open_local(
    args.model, step=args.step, average=args.average, template=template
  )
  opened.source.close()
  positions = opened.source.config.max_positions
  eval_likelihood.check_max_length(args.max_length, args.model, positions)
  return opened


def stop_tokens(opened: LocalModel) -> list[int]:
  """Ids that end a text: as transformers has them of the exported model."""
  stops = {opened.tokenizer.eos_id}
  templates_used = {opened.template, chat_files.trained_template(opened.folder)}
  for name in templates_used - {None}:
    stops |= {
      opened.tokenizer.special_id(token, template=name)
      for token in templates.end_of_turn_tokens(name)
    }
  folder = carried_files.folder_of(opened.folder)
  path = folder / "generation_config.json"
  if path.is_file():
    model_folder.safe_file(folder, path.name)
    data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
    given = strict_json.parse_object(data, what=str(path)).get("eos_token_id")
    ids = given if isinstance(given, list) else [given]
    stops |= {id_ for id_ in ids if isinstance(id_, int)}
  return sorted(id_ for id_ in stops if id_ is not None)


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval harness",
    description=(
      "Tasks of the Language Model Evaluation Harness (pip install"
      " 'ramjax[harness]'), with its prompts\nand metrics. A task whose data is"
      " on the Hugging Face hub is downloaded by the harness; task files\nof"
      " your own over files of your own need no network. Task files can run"
      " Python of their folder: take\nthem from those you trust."
    ),
    epilog=(
      "examples:\n  ramjax eval harness --tasks=mytask --include-path=tasks"
      " --model=runs/mine --out=evals/mytask\n  ramjax eval harness"
      " --tasks=ifeval --model=Llama-3.1-8B-Instruct --apply-chat-template"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--tasks",
    required=True,
    metavar="NAMES",
    help="names of tasks or groups, or patterns, with commas between",
  )
  parser.add_argument(
    "--include-path",
    type=pathlib.Path,
    metavar="DIR",
    help="a folder of task files (.yaml), besides the harness's own",
  )
  eval_likelihood.add_model_options(parser)
  _add_prompt_options(parser)
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE} there, and {harness_results.FILE} as the"
    " harness has it",
  )
  parser.add_argument(
    "--log-samples",
    action="store_true",
    help="also write each task's documents, prompts and answers to --out",
  )
  return parser


def _add_prompt_options(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--limit",
    type=option_types.positive_int,
    metavar="N",
    help="only the first N documents of each task",
  )
  parser.add_argument(
    "--num-fewshot",
    type=option_types.count,
    metavar="N",
    help="examples before each question (default: as the task has it)",
  )
  parser.add_argument(
    "--apply-chat-template",
    action="store_true",
    help="ask in the model's chat format",
  )
  parser.add_argument(
    "--template",
    choices=templates.TEMPLATE_NAMES,
    help="that chat format, with --apply-chat-template (default: what the model"
    " was trained with, or its own)",
  )
  parser.add_argument(
    "--system-instruction",
    metavar="TEXT",
    help="what stands first in each prompt",
  )
