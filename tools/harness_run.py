# SPDX-License-Identifier: Apache-2.0
"""Has the Language Model Evaluation Harness ask a model of ours.

What is wrong with a task is said before the model's weights are loaded.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import tqdm

from ramjax.evals.continuations import ContinuationLogp, TokenPair
from ramjax.models import sampler
from ramjax.tools import (
  eval_likelihood,
  eval_result,
  harness_results,
  harness_tasks,
)
from ramjax.tools.eval_likelihood import ScoringModel
from ramjax.tools.harness_tasks import Tasks

# Draws for the standard error of a metric that has no formula for it. The
# harness takes 100,000 in as many processes as there are cores, which must not
# be forked from one that runs JAX.
_BOOTSTRAP_DRAWS = 1_000
_NO_PROCESSES = "DISABLE_MULTIPROC"
# What a task's file, its code or its data make the harness stop with.
_TASK_ERRORS = (
  ArithmeticError,
  AssertionError,
  AttributeError,
  ImportError,
  LookupError,
  NotImplementedError,
  TypeError,
)


class LazyModel:
  """The model, which is loaded when it is first asked for something.

  By then the harness has found its tasks and their data, and made all prompts.

  Attributes:
    error: What the model stopped with, if it did.
  """

  def __init__(self, args: argparse.Namespace):
    """Takes the options of `eval_likelihood.add_model_options`."""
    self.error: Exception | None = None
    self._args = args

  @functools.cached_property
  def loaded(self) -> ScoringModel:
    """The model; minutes where it is large."""
    return eval_likelihood.load(self._args)

  def score(self, pairs: Sequence[TokenPair]) -> list[ContinuationLogp]:
    """Scores pairs on all devices."""
    with self._noted():
      return eval_likelihood.score(self._args, self.loaded.loaded, pairs)

  def sample(self, requests: Sequence[sampler.Request]) -> list[sampler.Sample]:
    """Continues prompts on all devices."""
    with self._noted():
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

  @contextlib.contextmanager
  def _noted(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:
      self.error = error
      raise


def run(
  lm: Any, model: LazyModel, tasks: Tasks, args: argparse.Namespace
) -> tuple[dict[str, Any], list[pathlib.Path]]:
  """Runs the tasks.

  Args:
    lm: Of `harness_lm`.
    model: What answers it.
    tasks: To run.
    args: Of `ramjax eval harness`.

  Returns:
    What `simple_evaluate` returns, and the local files that the tasks read
    their documents from.

  Raises:
    ValueError: A task's file is at fault, or a task asks for what the model
      cannot do, or reads what would be written.
  """
  import jinja2
  import yaml

  data: list[pathlib.Path] = []

  def check(loaded: Mapping[str, Any]) -> None:
    data.extend(_checked(loaded, lm, args))

  harness_tasks.check_loaded(tasks.manager, check)
  evaluator = harness_tasks.import_harness("lm_eval.evaluator")
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
    except (*_TASK_ERRORS, jinja2.TemplateError, yaml.YAMLError) as error:
      if error is model.error:
        raise
      task = _task_at(error) or f"one of {', '.join(tasks.names)}"
      raise ValueError(
        f"the harness stopped at task {task} ({type(error).__name__}: {error}):"
        " look into the task's file."
      ) from error
  found["config"] |= {
    "model": "ramjax",
    "model_args": _model_args(args),
  }
  return found, data


def _checked(
  loaded: Mapping[str, Any], lm: Any, args: argparse.Namespace
) -> list[pathlib.Path]:
  """The data files of tasks that can be run."""
  for name, task in loaded.items():
    if task.get_config("output_type") == "generate_until":
      lm.check_generation(name, task.get_config("generation_kwargs") or {})
  data = harness_results.data_files(
    [task.get_config("dataset_kwargs") for task in loaded.values()]
  )
  if args.out is not None:
    names = (eval_result.FILE, harness_results.FILE)
    eval_result.refuse_inputs([args.out / name for name in names], data)
  return data


def _task_at(error: Exception) -> str | None:
  """The task that the harness was at, from where it stopped: the innermost."""
  found: dict[str, str] = {}
  for frame, _ in traceback.walk_tb(error.__traceback__):
    # While a task is loaded it has an entry, and no name of its own yet.
    for local, attribute in (("entry", "name"), ("self", "task_name")):
      name = getattr(frame.f_locals.get(local), attribute, None)
      if isinstance(name, str):
        found[local] = name
  return found.get("entry") or found.get("self")


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
