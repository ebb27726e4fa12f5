# SPDX-License-Identifier: Apache-2.0
"""The wiring of a run, which every algorithm shares."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections
import optax
from jax.sharding import Mesh

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
from ramjax.trainers.state import TrainState, init_state
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
    # Model and step
    cached = reference is not None and config.reference.cache != ""
    with watch.preparing("reading the weights"):
      processes.first_tells(
        lambda: _describe_model(config, workdir, model_config, described)
      )
      state = _first_state(
        config,
        model_config,
        optimizer,
        mesh,
        start,
        # Its log-probabilities on disk need no model beside the policy.
        None if cached else reference,
        objective,
        algorithm.add_params,
      )
    train_step = step_lib.make_train_step(
      objective,
      optimizer,
      num_microbatches=config.data.num_microbatches,
      ema_decay=config.optim.ema_decay,
      sync=None if reference is None else reference.sync,
      skip=skip,
    )
    if reference is not None and cached:
      data = _with_cached_reference(
        config, data, state, reference, start, mesh, watch
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


def _with_cached_reference(
  config: ml_collections.ConfigDict,
  data: Any,
  state: TrainState,
  reference: references.Reference,
  start: starting_model.Start,
  mesh: Mesh,
  watch: Watch,
) -> Any:
  """The data with the reference's log-probabilities, from disk or computed."""
  load = functools.partial(references.params_of, reference, state, mesh)
  with watch.preparing("the reference's log-probabilities"):
    return reference_cache.use(
      config,
      data,
      load,
      reference.config,
      reference.start or start,
      mesh,
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


def _first_state(
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  start: starting_model.Start,
  reference: references.Reference | None,
  objective: step_lib.Objective,
  add_params: Callable[..., Any] | None,
) -> TrainState:
  trained, frozen = initial_weights.load(config, model_config, mesh, start)
  reference_params = None
  if reference is not None:
    reference_params = references.load(reference, trained, frozen, mesh)
  if add_params is not None:
    trained = add_params(config, model_config, trained, frozen, mesh)
  skip = from_config.make_skip_rule(config)
  return init_state(
    trained,
    optimizer,
    mesh=mesh,
    seed=config.seed,
    with_ema=config.optim.ema_decay > 0,
    frozen=frozen,
    reference=reference_params,
    moving_reference=reference is not None and reference.sync is not None,
    carried=objective.carried,
    skips={} if skip is None else skip.initial(),
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
