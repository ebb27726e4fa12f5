# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval harness`: tasks of the Language Model Evaluation Harness.

The harness (lm_eval) brings the tasks, their prompts and their metrics; the
model is ours. Tasks of a folder of one's own need no network.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import tqdm

from ramjax.data import templates
from ramjax.evals.continuations import ContinuationLogp, TokenPair
from ramjax.evals.harness_model import harness_lm
from ramjax.models import carried_files, model_folder, sampler, strict_json
from ramjax.tools import (
  chat_files,
  eval_likelihood,
  eval_result,
  harness_results,
  harness_tasks,
  local_model,
  option_types,
)
from ramjax.tools.eval_likelihood import ScoringModel
from ramjax.tools.harness_tasks import Tasks
from ramjax.tools.local_model import LocalModel

# Draws for the standard error of a metric that has no formula for it. The
# harness takes 100,000 in as many processes as there are cores, which must not
# be forked from one that runs JAX.
_BOOTSTRAP_DRAWS = 1_000
_NO_PROCESSES = "DISABLE_MULTIPROC"
_MAX_BYTES = 2**20


def main(argv: Sequence[str]) -> int:
  """Writes the figures with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval harness`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  parser = make_parser()
  args = parser.parse_args(argv)
  if args.template and not args.apply_chat_template:
    parser.error("--template goes with --apply-chat-template")
  if args.log_samples and args.out is None:
    parser.error("--log-samples goes with --out")
  names = list(dict.fromkeys(filter(None, args.tasks.split(","))))
  evaluator = harness_tasks.import_harness("lm_eval.evaluator")
  tasks = harness_tasks.find_tasks(names, args.include_path)
  inputs = tasks.files
  benchmark = f"harness, {', '.join(names)}"
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=benchmark,
      model=str(args.model),
      files=[harness_results.FILE],
      inputs=inputs,
    )
  opened = _opened(args)
  model = _LazyModel(args)
  lm = harness_lm(
    opened.tokenizer,
    score=model.score,
    sample=model.sample,
    max_length=args.max_length or opened.source.config.max_positions,
    stop_tokens=stop_tokens(opened),
    template=opened.template if args.apply_chat_template else None,
  )
  found = _run(evaluator, lm, tasks, args)
  samples = found.pop("samples", {})
  inputs = [*inputs, *harness_results.data_files(found)]
  written = []
  if args.out is not None:
    eval_result.refuse_inputs([args.out / harness_results.FILE], inputs)
    written = harness_results.write(args.out, found, samples)
  eval_result.conclude(
    harness_results.evaluation(
      found,
      benchmark=benchmark,
      model=str(args.model),
      template=opened.template if args.apply_chat_template else None,
      num_truncated=lm.num_truncated,
    ),
    args.out,
    inputs=inputs,
    command=["ramjax", "eval", "harness", *argv],
    model_identity={
      **model.loaded.identity,
      "template": opened.template if args.apply_chat_template else None,
    },
    written_before=written,
  )
  return 0


class _LazyModel:
  """The model, which is loaded when it is first asked for something.

  By then the harness has found its tasks and their data, and made all prompts.
  """

  def __init__(self, args: argparse.Namespace):
    self._args = args

  @functools.cached_property
  def loaded(self) -> ScoringModel:
    return eval_likelihood.load(self._args)

  def score(self, pairs: Sequence[TokenPair]) -> list[ContinuationLogp]:
    return eval_likelihood.score(self._args, self.loaded.loaded, pairs)

  def sample(self, requests: Sequence[sampler.Request]) -> list[sampler.Sample]:
    model = self.loaded.loaded
    with (
      eval_likelihood.memory_named(),
      jax.set_mesh(model.mesh),
      tqdm.tqdm(
        total=len(requests),
        unit="answer",
        dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
      ) as bar,
    ):

      def tell(num_tokens: int) -> None:
        del num_tokens
        bar.update(1)

      return sampler.sample(
        model.params,
        model.config,
        requests,
        num_slots=self._args.batch_size,
        vocab_size=model.tokenizer.vocab_size,
        progress=tell,
      )


def _opened(args: argparse.Namespace) -> LocalModel:
  """The model's folder, without its weights."""
  # Naming a template spares the search for the model's own.
  template = (args.template or "") if args.apply_chat_template else "plain"
  opened = local_model.open_local(
    args.model, step=args.step, average=args.average, template=template
  )
  opened.source.close()
  eval_likelihood.check_max_length(args, opened.source.config.max_positions)
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


def _run(
  evaluator: Any,
  lm: Any,
  tasks: Tasks,
  args: argparse.Namespace,
) -> dict[str, Any]:
  """What the harness finds, as `simple_evaluate` returns it.

  Raises:
    ValueError: A task's file is at fault.
  """
  import jinja2

  with _alone():
    try:
      found = evaluator.simple_evaluate(
        model=lm,
        tasks=tasks.names,
        num_fewshot=args.num_fewshot,
        batch_size=args.batch_size,
        limit=args.limit,
        bootstrap_iters=_BOOTSTRAP_DRAWS,
        log_samples=args.log_samples,
        system_instruction=args.system_instruction,
        apply_chat_template=args.apply_chat_template,
        task_manager=tasks.manager,
      )
    except (KeyError, AssertionError, jinja2.TemplateError) as error:
      raise ValueError(
        f"the harness stopped at a task ({type(error).__name__}: {error}): look"
        " into the task's file."
      ) from error
  found["config"] |= {
    "model": "ramjax",
    "model_args": _model_args(args),
  }
  return found


def _model_args(args: argparse.Namespace) -> Mapping[str, Any]:
  given = {
    "pretrained": str(args.model),
    "step": args.step,
    "average": args.average or None,
    "dtype": args.dtype,
    "max_length": args.max_length,
  }
  return {name: value for name, value in given.items() if value is not None}


@contextlib.contextmanager
def _alone() -> Iterator[None]:
  """No process beside this one, and nothing on stdout but figures."""
  before = os.environ.get(_NO_PROCESSES)
  os.environ[_NO_PROCESSES] = "1"
  try:
    with contextlib.redirect_stdout(sys.stderr):
      yield
  finally:
    if before is None:
      del os.environ[_NO_PROCESSES]
    else:
      os.environ[_NO_PROCESSES] = before


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
