# SPDX-License-Identifier: Apache-2.0
"""The fit of a round: an ordinary run, of which the round sets the inputs."""

import importlib
import pathlib
from typing import Any

import ml_collections

from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  benchmarks,
  from_config,
  loop,
  round_files,
  starting_model,
)
from ramjax.trainers.round_roles import Roles
from ramjax.trainers.select import Selection
from ramjax.trainers.starting_model import Start
from ramjax.trainers.step import Objective

_SOURCE = "rows"


def whole_tree(
  config: ml_collections.ConfigDict,
  *,
  rows: pathlib.Path | str = "",
  start: Start | None = None,
  reference: Start | None = None,
  seed: int | None = None,
) -> ml_collections.ConfigDict:
  """The config of a run of `config.fit`, put together again.

  Args:
    config: Of a run in rounds.
    rows: What it learns from.
    start: What it starts from; None is what `config.init` names.
    reference: What it is compared with; None is its own start.
    seed: Of the run; None is the config's.

  Returns:
    A tree with every field that its algorithm has, locked.
  """
  tree: dict[str, Any] = config.fit.to_dict()
  for name in ("init", "model", "tokenizer", "mesh"):
    tree[name] = config[name].to_dict()
  tree["seed"] = config.seed if seed is None else seed
  if start is not None:
    tree["init"] = _fields_of(start)
  tree["data"] |= dict(
    sources={
      _SOURCE: dict(path=str(rows), weight=1.0, eval_rows=0, eval_path="")
    },
    template=config.data.template,
    max_length=config.data.max_length,
    # Rows that a round made are good, or something is wrong.
    max_bad_share=0.0,
  )
  tree["run"] |= config.run.to_dict()
  # Nothing is held out of a round's rows: prompts are, and rounds answer them.
  tree["evals"] = dict(
    every_steps=0,
    num_prompts=0,
    num_samples=0,
    max_new_tokens=1,
    benchmarks=config.evals.benchmarks.to_dict(),
  )
  if "reference" in tree:
    other = Start(None) if reference is None else reference
    tree["reference"] |= _fields_of(other)
  return ml_collections.ConfigDict(tree).lock()


def _fields_of(start: Start) -> dict[str, Any]:
  """As a group of a config; what is no run's folder is Hugging Face's."""
  is_run = start.step is not None
  folder = "" if start.folder is None else str(start.folder.resolve())
  return dict(
    from_hf="" if is_run else folder,
    from_run=folder if is_run else "",
    step=start.step,
    average=start.average,
  )


def check(
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  selection: Selection,
) -> bool:
  """Refuses a fit that could not run, before anything is sampled for it.

  Args:
    config: Of a run in rounds.
    model_config: Of the policy.
    selection: What the rows will be from.

  Returns:
    Whether its loss compares with a reference.

  Raises:
    ValueError: Rows of another algorithm, an unknown loss or optimizer, a batch
      that does not divide, or a reference that nothing compares with.
  """
  algorithm = config.fit.algorithm
  if algorithm not in selection.algorithms:
    raise ValueError(
      f"fit.algorithm={algorithm!r} does not learn from the rows of"
      f" select.name={selection.name!r}: take"
      f" {' or '.join(selection.algorithms)}, or another selection."
    )
  tree = whole_tree(config)
  from_config.make_loop_schedule(tree)
  from_config.make_optimizer(tree, from_config.make_learning_rate(tree))
  from_config.make_mesh(tree, model_config)
  compares = _objective(tree, model_config).reference_config is not None
  if config.rounds.reference == "first" and not compares:
    raise ValueError(
      "rounds.reference='first', and nothing in fit.loss compares with a"
      " reference: leave it at 'start'."
    )
  return compares


def _objective(
  tree: ml_collections.ConfigDict, model_config: LlamaConfig
) -> Objective:
  return _module(tree.algorithm).ALGORITHM.make_objective(
    model_config,
    reference_config=model_config if "reference" in tree else None,
    **tree.loss.to_dict(),
  )


def _module(algorithm: str) -> Any:
  return importlib.import_module(f"ramjax.trainers.{algorithm}")


def fit(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  number: int,
  roles: Roles,
  runner: benchmarks.Runner | None,
) -> loop.Outcome:
  """Fits the rows of a round, or continues where its last checkpoint is.

  Args:
    config: Of a run in rounds.
    workdir: Its folder.
    number: Of the round, from 1.
    roles: Of the round.
    runner: Of benchmarks, which each round's model goes through.

  Returns:
    How the fit ended.
  """
  folder = round_files.folder(workdir, number)
  if (folder / round_files.FITTED).is_file():
    return loop.Outcome.FINISHED
  tree = whole_tree(
    config,
    rows=(folder / round_files.ROWS).resolve(),
    start=roles.start,
    # Where that is the start, the run keeps one copy of it.
    reference=None if roles.reference == roles.start else roles.reference,
    seed=config.seed + number,
  )
  try:
    outcome = _module(tree.algorithm).main(
      tree, folder / round_files.FIT, runner
    )
  except benchmarks.BenchmarksFailed:
    # It was told, and is told again at the end of all rounds.
    outcome = loop.Outcome.FINISHED
  if outcome is loop.Outcome.FINISHED:
    made = Start(folder / round_files.FIT, tree.run.total_steps)
    round_files.write_json(
      folder / round_files.FITTED, starting_model.describe(made)
    )
  return outcome
