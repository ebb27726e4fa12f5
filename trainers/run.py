# SPDX-License-Identifier: Apache-2.0
"""The wiring of a run, which every algorithm shares."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grain
import jax
import ml_collections
import optax
from jax.sharding import Mesh

from ramjax.data import templates
from ramjax.data.tokenizers import Tokenizer
from ramjax.models import sharding, weights
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
  starting_model,
)
from ramjax.trainers import step as step_lib
from ramjax.trainers.checkpoints import Continued
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.shared_stop import SharedStop
from ramjax.trainers.state import TrainState, init_state
from ramjax.trainers.step_figures import StepFigures
from ramjax.trainers.watch import Watch


class RunData(Protocol):
  """What the wiring itself needs to know of an algorithm's data."""

  @property
  def tokenizer(self) -> Tokenizer:
    """The run's tokenizer."""
    ...

  @property
  def summary(self) -> Mapping[str, Mapping[str, Any]]:
    """Per source, what goes into the manifest and is said at the start."""
    ...


class Evaluator(Protocol):
  """Evaluation during training."""

  def evaluate(
    self, state: TrainState, step: int
  ) -> tuple[Mapping[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    ...


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """What makes an algorithm: its data, its batches, its loss.

  Attributes:
    load_data: `(config, workdir, vocab_size=)` to the data of the run.
    train_batches: `(config, data)` to endless batches, the same on every process.
    count_batch: Tokens of a host batch, for speed.
    make_objective: `(model_config, reference_config=, ...)` to what a step
      minimises. `reference_config` is None where the config has no reference;
      the rest are the fields of `config.loss`, by name.
    make_evaluator: `(config, model_config, data, mesh, objective)` to the
      evaluation.
    describe_source: One source's summary as a line of the log.
    sample_batches: Of an algorithm whose policy makes its own batches, in place
      of `train_batches`: `(Setting)` to `SampledBatches`.
    add_params: `(config, model_config, trained, frozen, mesh)` to the trained
      parameters with those of a model of the algorithm's own; None adds none.
    describe_roles: `(config, workdir)` to the other models that take part, by
      role, for the manifest.
    check_first_step: `(metrics, blank)` to what is wrong with the metrics of the
      first step, a sentence each. `blank` says that the run starts where nothing
      is learned: the policy is the reference, or the score head is new.
  """

  load_data: Callable[..., Any]
  train_batches: Callable[
    [ml_collections.ConfigDict, Any], grain.DatasetIterator
  ]
  count_batch: Callable[[Any], loop.BatchCounts]
  make_objective: Callable[..., step_lib.Objective]
  make_evaluator: Callable[
    [ml_collections.ConfigDict, LlamaConfig, Any, Mesh, step_lib.Objective],
    Evaluator,
  ]
  describe_source: Callable[[Mapping[str, Any]], str]
  check_first_step: Callable[[Mapping[str, float], bool], list[str]]
  sample_batches: Callable[["Setting"], "SampledBatches"] | None = None
  add_params: Callable[..., Any] | None = None
  describe_roles: Callable[..., Mapping[str, Any]] = lambda *_: {}


class SampledBatches(Protocol):
  """Batches that the policy makes; `online_batches.OnlineBatches` is one."""

  def next_batch(
    self,
    state: TrainState,
    settle: Callable[[], None],
    check: Callable[[], None],
  ) -> tuple[Any, Mapping[str, float]]:
    """A host batch, and metrics of what was sampled for it; see `loop.train`."""
    ...

  def close(self) -> None:
    """Ends it."""
    ...


@dataclasses.dataclass(frozen=True)
class Setting:
  """What the parts of a run are built from.

  Attributes:
    config: Of the run.
    workdir: Its folder.
    model_config: Of the policy.
    reference_config: Of the reference; None where nothing compares with one.
    data: From `load_data`.
    mesh: Of the updates.
  """

  config: ml_collections.ConfigDict
  workdir: pathlib.Path
  model_config: LlamaConfig
  reference_config: LlamaConfig | None
  data: Any
  mesh: Mesh


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
  data = processes.together(
    lambda: algorithm.load_data(
      config, workdir, vocab_size=model_config.vocab_size
    )
  )
  audited.require(config, data)
  described = initial_weights.describe(config, start)
  roles = algorithm.describe_roles(config, workdir)
  _claim(config, workdir, data, model_config, described, reference, roles)

  with jax.set_mesh(mesh), contextlib.ExitStack() as opened:
    # Model and step
    processes.first_tells(
      lambda: _describe_model(config, workdir, model_config, described)
    )
    cached = reference is not None and config.reference.cache != ""
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
      data = _with_cached_reference(config, data, state, reference, start, mesh)
    setting = Setting(
      config, workdir, model_config, objective.reference_config, data, mesh
    )
    return _train(
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


def _is_blank(
  model_config: LlamaConfig,
  start: starting_model.Start,
  reference: references.Reference | None,
) -> bool:
  """Whether nothing is learned yet; see `Algorithm.check_first_step`."""
  if reference is None:
    return initial_weights.has_new_head(model_config, start)
  return reference.is_start


def _open_batches(
  algorithm: Algorithm, setting: Setting, watch: Watch
) -> tuple[Any, Callable[..., tuple[Any, Mapping[str, float]]]]:
  """Where batches come from, and how the loop gets the next one."""
  if algorithm.sample_batches is not None:
    sampled = algorithm.sample_batches(setting)

    def sample(*asked: Any) -> tuple[Any, Mapping[str, float]]:
      # One process may sample for all, and the others wait.
      with watch.watchdog.during("a rollout"):
        return sampled.next_batch(*asked)

    return sampled, sample
  batches = algorithm.train_batches(setting.config, setting.data)
  return batches, lambda *_: (next(batches), {})


def _with_cached_reference(
  config: ml_collections.ConfigDict,
  data: Any,
  state: TrainState,
  reference: references.Reference,
  start: starting_model.Start,
  mesh: Mesh,
) -> Any:
  """The data with the reference's log-probabilities, from disk or computed."""
  load = functools.partial(references.params_of, reference, state, mesh)
  return reference_cache.use(
    config, data, load, reference.config, reference.start or start, mesh
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


def _train(
  setting: Setting,
  algorithm: Algorithm,
  opened: contextlib.ExitStack,
  *,
  objective: step_lib.Objective,
  state: TrainState,
  train_step: Callable[..., Any],
  schedule: Schedule,
  measured: benchmarks.Benchmarks,
  watch: Watch,
  blank: bool,
) -> loop.Outcome:
  """From the first state, or the last checkpoint, to the end of the run."""
  config, workdir, mesh = setting.config, setting.workdir, setting.mesh
  batches, next_batch = _open_batches(algorithm, setting, watch)
  opened.callback(batches.close)
  # Checkpoint
  checkpoints = from_config.make_checkpoints(config, workdir)
  opened.callback(checkpoints.close)
  with watch.watchdog, watch.watchdog.during("the restore"):
    continued = checkpoints.restore_latest(state, batches)
  state, progress = continued.state, continued.progress
  recorder = from_config.make_recorder(
    config, workdir, first_step=continued.step or 0, progress=progress
  )
  opened.callback(recorder.close)
  _announce_data(recorder, algorithm, setting.data)
  _announce(recorder, config, setting.model_config, continued)

  # Evals
  evaluator = algorithm.make_evaluator(
    config, setting.model_config, setting.data, mesh, objective
  )

  def evaluate(state: TrainState, step: int) -> Mapping[str, float]:
    metrics, samples = evaluator.evaluate(state, step)
    recorder.samples(samples)
    return metrics

  def measure(state: TrainState, step: int, check: Callable[[], None]) -> None:
    model = measured.model(state, step, setting.model_config, mesh)
    measured.run(model, recorder, check)

  def check_first_step(metrics: Mapping[str, float]) -> list[str]:
    if not config.run.first_step_checks:
      return []
    return algorithm.check_first_step(metrics, blank)

  # Loop
  _, outcome = loop.train(
    state,
    batches,
    next_batch=next_batch,
    train_step=train_step,
    place_batch=lambda batch: sharding.place_batch(batch, mesh),
    count_batch=algorithm.count_batch,
    evaluate=evaluate,
    is_measured=lambda step: bool(measured.due(step)),
    measure=measure,
    schedule=schedule,
    checkpoints=checkpoints,
    recorder=recorder,
    figures=StepFigures(
      progress,
      schedule=schedule,
      check_first_step=check_first_step,
      learning_rate=from_config.make_learning_rate(config),
      checkpoints=checkpoints,
      recorder=recorder,
      watch=watch,
    ),
    stop=SharedStop(mesh, alone=jax.process_count() == 1),
    watch=watch,
  )
  if outcome is loop.Outcome.FINISHED:
    benchmarks.refuse_failed([workdir])
  return outcome


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
  data: RunData,
  model_config: LlamaConfig,
  described: Mapping[str, Any],
  reference: references.Reference | None,
  roles: Mapping[str, Any],
) -> None:
  """Writes the config and the manifest, or refuses another run's folder."""
  template = config.data.template
  manifest = provenance.build_manifest(
    data=data.summary,
    tokenizer_digest=data.tokenizer.digest,
    template=template,
    template_digest=templates.template_digest(template),
    num_parameters=model_config.num_parameters,
    initial_weights=described,
    reference=None if reference is None else references.describe(reference),
    roles=roles,
  )
  provenance.claim_workdir(workdir, config.to_dict(), manifest)


def _describe_model(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  model_config: LlamaConfig,
  described: Mapping[str, Any],
) -> None:
  """Keeps the model's shape and what came with its weights."""
  weights.save_config(workdir, model_config)
  initial_weights.carry_files(config, workdir, described)


def _announce_data(
  recorder: Recorder, algorithm: Algorithm, data: RunData
) -> None:
  """Says what the run trains on, a line for each source."""
  for name, counts in data.summary.items():
    said = f"data {name}: {algorithm.describe_source(counts)}"
    if left_out := counts.get("rows_left_out"):
      said += f"; {left_out} rows left out, whose prompt is held out"
    recorder.say(said)


def _announce(
  recorder: Recorder,
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  continued: Continued,
) -> None:
  """Says what is about to run: the model, what is trained, devices, start."""
  folder = starting_model.init_folder(config)
  name = config.model.preset if folder is None else f"from {folder}"
  trained = sum(leaf.size for leaf in jax.tree.leaves(continued.state.params))
  share = ""
  if continued.state.frozen:
    share = f"{trained:,} of them trained, "
  recorder.say(
    f"model {name}: {model_config.num_parameters:,} parameters, {share}"
    f"{model_config.dtype} compute, {jax.device_count()}"
    f" {jax.devices()[0].platform} device(s)"
  )
  for note in continued.notes:
    recorder.say(note)
  if continued.step is not None:
    recorder.say(
      f"continuing after step {continued.step} of {config.run.total_steps}"
    )
