# SPDX-License-Identifier: Apache-2.0
"""The wiring of a run, which every algorithm shares."""

import contextlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections

from ramjax.data import templates
from ramjax.models import weights
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  audited,
  benchmarks,
  from_config,
  initial_weights,
  loop,
  processes,
  provenance,
  reference_cache,
  references,
  run_loop,
  starting_model,
)
from ramjax.trainers import step as step_lib
from ramjax.trainers.algorithm import Algorithm, RunData, Setting
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.first_state import FirstState
from ramjax.trainers.state import TrainState
from ramjax.trainers.watch import Watch


def run(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  algorithm: Algorithm,
  runner: benchmarks.Runner | None,
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`.

  Args:
    config: Complete.
    workdir: The run's folder.
    algorithm: What it runs.
    runner: Of the benchmarks in the config; None refuses them.

  Returns:
    How it ended.
  """
  # What can be refused without the data is refused before it is read.
  provenance.refuse_other_config(workdir, config.to_dict())
  provenance.refuse_foreign_model(workdir)
  start = starting_model.choose(config, workdir)
  model_config = initial_weights.make_model_config(config, start)
  schedule = from_config.make_loop_schedule(config)
  measured = benchmarks.Benchmarks(config, workdir, runner, model_config)
  learning_rate = from_config.make_learning_rate(config)
  optimizer = from_config.make_optimizer(config, learning_rate)
  skip = from_config.make_skip_rule(config)
  templates.template_digest(config.data.template)  # Refuses an unknown name.

  # Mesh
  mesh = from_config.make_mesh(config, model_config)
  watch = from_config.make_watch(config, workdir, mesh)

  # Loss
  objective, reference = _choose_objective(
    config, workdir, algorithm, model_config
  )

  # Data
  with watch.preparing("reading the data"):
    data = _load_data(config, workdir, algorithm, model_config)
  with watch.preparing("describing the models"):
    described = _claim(
      config, workdir, algorithm, data, model_config, start, reference
    )

  with jax.set_mesh(mesh), contextlib.ExitStack() as opened:
    # Checkpoint
    with watch.preparing("opening the checkpoints"):
      checkpoints = from_config.make_checkpoints(config, workdir)
    opened.callback(checkpoints.close)

    # Model and step
    first = FirstState(
      config,
      model_config,
      optimizer,
      mesh,
      start,
      # Its log-probabilities on disk need no model beside the policy.
      None if _is_cached(config, reference) else reference,
      objective.carried,
      algorithm.add_params,
    )
    state, began = _begin(first, checkpoints, workdir, described, watch)
    if reference is not None and _is_cached(config, reference):
      data = _with_cached_reference(first, data, began, reference, watch)
    train_step = step_lib.make_train_step(
      objective,
      optimizer,
      num_microbatches=config.data.num_microbatches,
      ema_decay=config.optim.ema_decay,
      sync=None if reference is None else reference.sync,
      skip=skip,
    )
    setting = Setting(
      config, workdir, model_config, objective.reference_config, data, mesh
    )
    return run_loop.train(
      setting,
      algorithm,
      opened,
      objective=objective,
      state=state,
      checkpoints=checkpoints,
      train_step=train_step,
      schedule=schedule,
      measured=measured,
      watch=watch,
      blank=_is_blank(model_config, start, reference),
    )


def _load_data(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  algorithm: Algorithm,
  model_config: LlamaConfig,
) -> Any:
  """The data of every process, once its audit allows it."""
  data = processes.together(
    lambda: algorithm.load_data(
      config, workdir, vocab_size=model_config.vocab_size
    )
  )
  audited.require(config, data)
  return data


def _is_blank(
  model_config: LlamaConfig,
  start: starting_model.Start,
  reference: references.Reference | None,
) -> bool:
  """Whether nothing is learned yet; see `Algorithm.check_first_step`."""
  if reference is None:
    return initial_weights.has_new_head(model_config, start)
  return reference.is_start


def _begin(
  first: FirstState,
  checkpoints: Checkpoints,
  workdir: pathlib.Path,
  described: Mapping[str, Any],
  watch: Watch,
) -> tuple[TrainState, Callable[[], TrainState]]:
  """The state to go on with or to restore into, and what gives the first one."""
  with watch.preparing("reading the weights"):
    processes.first_tells(
      lambda: _describe_model(
        first.config, workdir, first.model_config, described
      )
    )
    state = first.to_restore() if checkpoints.any_there() else first.read()
  is_described = any(
    isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(state)
  )
  return state, first.read if is_described else lambda: state


def _is_cached(
  config: ml_collections.ConfigDict, reference: references.Reference | None
) -> bool:
  return reference is not None and config.reference.cache != ""


def _with_cached_reference(
  first: FirstState,
  data: Any,
  began: Callable[[], TrainState],
  reference: references.Reference,
  watch: Watch,
) -> Any:
  """The data with the reference's log-probabilities, from disk or computed."""

  def load() -> Any:
    return references.params_of(reference, began, first.mesh)

  with watch.preparing("the reference's log-probabilities"):
    return reference_cache.use(
      first.config,
      data,
      load,
      reference.config,
      reference.start or first.start,
      first.mesh,
      beat=watch.watchdog.beat,
    )


def _choose_objective(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  algorithm: Algorithm,
  model_config: LlamaConfig,
) -> tuple[step_lib.Objective, references.Reference | None]:
  """What a step minimises, and the reference if that compares with one."""
  reference = references.choose(config, model_config, workdir)
  objective = algorithm.make_objective(
    model_config,
    reference_config=None if reference is None else reference.config,
    **config.loss.to_dict(),
  )
  if objective.reference_config is None:
    references.refuse_unused(config)
    return objective, None
  return objective, reference


def require_language_model(config: LlamaConfig, algorithm: str) -> None:
  """Raises where a score head stands in the LM head's place.

  Raises:
    ValueError: Names the algorithm that needs the LM head.
  """
  if config.num_labels:
    raise ValueError(
      f"the model of init is a classifier (num_labels={config.num_labels}), and"
      f" algorithm={algorithm!r} trains a language model: name one."
    )


def _claim(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  algorithm: Algorithm,
  data: RunData,
  model_config: LlamaConfig,
  start: starting_model.Start,
  reference: references.Reference | None,
) -> Mapping[str, Any]:
  """Writes the config and the manifest, or refuses another run's folder.

  Returns:
    What the manifest says of the weights that the run starts from.
  """
  template = config.data.template
  described = initial_weights.describe(config, start)
  manifest = provenance.build_manifest(
    data=data.summary,
    tokenizer_digest=data.tokenizer.digest,
    template=template,
    template_digest=templates.template_digest(template),
    num_parameters=model_config.num_parameters,
    initial_weights=described,
    reference=None if reference is None else references.describe(reference),
    roles=algorithm.describe_roles(config, workdir),
  )
  provenance.claim_workdir(workdir, config.to_dict(), manifest)
  return described


def _describe_model(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  model_config: LlamaConfig,
  described: Mapping[str, Any],
) -> None:
  """Keeps the model's shape and what came with its weights."""
  weights.save_config(workdir, model_config)
  initial_weights.carry_files(config, workdir, described)
