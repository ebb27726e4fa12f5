# SPDX-License-Identifier: Apache-2.0
"""The wiring of a run, which every algorithm shares."""

import contextlib
import dataclasses
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
from ramjax.trainers import from_config, initial_weights, loop, provenance
from ramjax.trainers import step as step_lib
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.state import TrainState, init_state


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
    self, params: Any, step: int
  ) -> tuple[Mapping[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    ...


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """What makes an algorithm: its data, its batches, its loss.

  Attributes:
    load_data: `(config, workdir, vocab_size=)` to the data of the run.
    train_batches: `(config, data)` to this process's share of endless batches.
    count_batch: Tokens of a host batch, for speed.
    make_loss_fn: `(model_config, num_shards=, **config.loss)` to
      `(params, batch, key) -> (WeightedMean, metrics)`.
    make_evaluator: `(config, model_config, data, mesh)` to the evaluation.
    describe_source: One source's summary as a line of the log.
  """

  load_data: Callable[..., Any]
  train_batches: Callable[
    [ml_collections.ConfigDict, Any], grain.DatasetIterator
  ]
  count_batch: Callable[[Any], loop.BatchCounts]
  make_loss_fn: Callable[..., step_lib.LossFn]
  make_evaluator: Callable[
    [ml_collections.ConfigDict, LlamaConfig, Any, Mesh], Evaluator
  ]
  describe_source: Callable[[Mapping[str, Any]], str]


def run(
  config: ml_collections.ConfigDict, workdir: pathlib.Path, algorithm: Algorithm
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`."""
  # What can be refused without the data is refused before it is read.
  provenance.refuse_other_config(workdir, config.to_dict())
  provenance.refuse_foreign_model(workdir)
  start = initial_weights.choose(config, workdir)
  model_config = initial_weights.make_model_config(config, start)
  schedule = from_config.make_loop_schedule(config)
  learning_rate = from_config.make_learning_rate(config)
  optimizer = from_config.make_optimizer(config, learning_rate)
  templates.template_digest(config.data.template)  # Refuses an unknown name.

  # Mesh
  mesh = from_config.make_mesh(config, model_config)

  # Loss
  loss_fn = algorithm.make_loss_fn(
    model_config,
    num_shards=sharding.num_batch_shards(mesh),
    **config.loss.to_dict(),
  )

  # Data
  data = algorithm.load_data(
    config, workdir, vocab_size=model_config.vocab_size
  )
  described = initial_weights.describe(config, start)
  _claim(config, workdir, data, model_config, described)
  batches = algorithm.train_batches(config, data)

  with jax.set_mesh(mesh), contextlib.ExitStack() as opened:
    opened.callback(batches.close)

    # Model and step
    weights.save_config(workdir, model_config)
    initial_weights.carry_files(config, workdir, described)
    state = _first_state(config, model_config, optimizer, mesh, start)
    train_step = step_lib.make_train_step(
      loss_fn,
      optimizer,
      num_microbatches=config.data.num_microbatches,
      ema_decay=config.optim.ema_decay,
    )

    # Checkpoint
    checkpoints = from_config.make_checkpoints(config, workdir)
    opened.callback(checkpoints.close)
    state, progress, restored = checkpoints.restore_latest(state, batches)
    recorder = from_config.make_recorder(
      config, workdir, first_step=restored or 0, progress=progress
    )
    opened.callback(recorder.close)
    for name, counts in data.summary.items():
      recorder.say(f"data {name}: {algorithm.describe_source(counts)}")
    _announce(recorder, config, model_config, state, restored)

    # Evals
    evaluator = algorithm.make_evaluator(config, model_config, data, mesh)

    def evaluate(state: TrainState, step: int) -> Mapping[str, float]:
      metrics, samples = evaluator.evaluate(state.eval_params, step)
      recorder.samples(samples)
      return metrics

    # Loop
    _, outcome = loop.train(
      state,
      batches,
      train_step=train_step,
      place_batch=lambda batch: sharding.place_batch(batch, mesh),
      count_batch=algorithm.count_batch,
      evaluate=evaluate,
      learning_rate=learning_rate,
      schedule=schedule,
      checkpoints=checkpoints,
      recorder=recorder,
      progress=progress,
    )
  return outcome


def _first_state(
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  start: initial_weights.Start,
) -> TrainState:
  trained, frozen = initial_weights.load(config, model_config, mesh, start)
  return init_state(
    trained,
    optimizer,
    mesh=mesh,
    seed=config.seed,
    with_ema=config.optim.ema_decay > 0,
    frozen=frozen,
  )


def _claim(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  data: RunData,
  model_config: LlamaConfig,
  described: Mapping[str, Any],
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
  )
  provenance.claim_workdir(workdir, config.to_dict(), manifest)


def _announce(
  recorder: Recorder,
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  state: TrainState,
  restored: int | None,
) -> None:
  """Says what is about to run: the model, what is trained, devices, start."""
  folder = initial_weights.init_folder(config)
  name = config.model.preset if folder is None else f"from {folder}"
  trained = sum(leaf.size for leaf in jax.tree.leaves(state.params))
  share = ""
  if state.frozen:
    share = f"{trained:,} of them trained, "
  recorder.say(
    f"model {name}: {model_config.num_parameters:,} parameters, {share}"
    f"{model_config.dtype} compute, {jax.device_count()}"
    f" {jax.devices()[0].platform} device(s)"
  )
  if restored is not None:
    recorder.say(
      f"continuing after step {restored} of {config.run.total_steps}"
    )
