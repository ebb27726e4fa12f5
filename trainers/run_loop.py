# SPDX-License-Identifier: Apache-2.0
"""From a run's first state, or its last checkpoint, to its end."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import ml_collections

from ramjax.models import sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import benchmarks, from_config, loop, starting_model
from ramjax.trainers import step as step_lib
from ramjax.trainers.algorithm import Algorithm, RunData, Setting
from ramjax.trainers.checkpoints import Checkpoints, Continued
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.shared_stop import SharedStop
from ramjax.trainers.state import TrainState
from ramjax.trainers.step_figures import StepFigures
from ramjax.trainers.watch import Watch


def train(
  setting: Setting,
  algorithm: Algorithm,
  opened: contextlib.ExitStack,
  *,
  objective: step_lib.Objective,
  state: TrainState,
  checkpoints: Checkpoints,
  train_step: Callable[..., Any],
  schedule: Schedule,
  measured: benchmarks.Benchmarks,
  watch: Watch,
  blank: bool,
) -> loop.Outcome:
  """From the first state, or the last checkpoint, to the end of the run.

  Args:
    setting: What the parts of the run are built from.
    algorithm: What it runs.
    opened: Closes what is opened here.
    objective: What a step minimises.
    state: From `FirstState`; only described, perhaps, where there is a
      checkpoint.
    checkpoints: Of the run.
    train_step: One update.
    schedule: When what is done.
    measured: The run's benchmarks.
    watch: The watchdog, and what is looked at between steps.
    blank: See `Algorithm.check_first_step`.

  Returns:
    How it ended.
  """
  config, workdir, mesh = setting.config, setting.workdir, setting.mesh
  with watch.preparing("opening the batches"):
    batches, next_batch = _open_batches(algorithm, setting, watch)
  opened.callback(batches.close)
  # Checkpoint
  with watch.preparing("the restore"):
    continued = checkpoints.restore_latest(state, batches)
  state, progress = continued.state, continued.progress
  recorder = from_config.make_recorder(
    config, workdir, first_step=continued.step or 0, progress=progress
  )
  opened.callback(recorder.close)
  _announce_data(recorder, algorithm, setting.data)
  _announce(recorder, config, setting.model_config, continued)

  # Evals
  with watch.preparing("preparing the evaluation"):
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
