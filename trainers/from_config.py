# SPDX-License-Identifier: Apache-2.0
"""From a config's fields to the parts of a run that every algorithm has."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
import optax

from ramjax.models import llama, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import optimizers, processes
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.goodput import Goodput
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.profile_steps import Profile, parse_steps
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.replicas import ReplicaCheck
from ramjax.trainers.skipped_updates import SkipRule
from ramjax.trainers.watch import Watch
from ramjax.trainers.watchdog import Watchdog


def make_loop_schedule(config: ml_collections.ConfigDict) -> Schedule:
  """When the loop logs, evaluates and saves."""
  return Schedule(
    total_steps=config.run.total_steps,
    log_every=config.run.log_every,
    eval_every=config.evals.every_steps,
    save_every=config.checkpoint.every_steps,
    max_skipped=config.optim.max_skipped,
  )


def make_skip_rule(config: ml_collections.ConfigDict) -> SkipRule | None:
  """Which updates are skipped; None where none is."""
  rule = SkipRule(
    max_in_a_row=config.optim.max_skipped,
    spike_sigma=config.optim.spike_sigma,
    window=config.optim.spike_window,
  )
  return rule if rule.max_in_a_row else None


def make_watch(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  mesh: jax.sharding.Mesh,
) -> Watch:
  """What looks on while the run trains.

  Raises:
    ValueError: A period or a range that cannot be.
  """
  first = processes.is_first()
  steps = parse_steps(config.run.profile_steps, config.run.total_steps)
  return Watch(
    goodput=Goodput(workdir if first else None),
    watchdog=Watchdog(
      config.run.watchdog_seconds,
      workdir,
      long_seconds=config.run.watchdog_long_seconds,
    ),
    # One process is as good as another, and two may share a file name.
    profile=Profile(steps if first else range(0), workdir),
    replicas=ReplicaCheck(config.run.check_replicas_every, mesh),
  )


def make_learning_rate(config: ml_collections.ConfigDict) -> optax.Schedule:
  """Learning rate by update."""
  return optimizers.make_schedule(
    config.optim.schedule,
    learning_rate=config.optim.learning_rate,
    warmup_steps=config.optim.warmup_steps,
    total_steps=config.run.total_steps,
    final_share=config.optim.final_share,
  )


def make_optimizer(
  config: ml_collections.ConfigDict, learning_rate: optax.Schedule
) -> optax.GradientTransformation:
  """The optimizer, clipping included."""
  return optimizers.make_optimizer(
    config.optim.name,
    learning_rate,
    b1=config.optim.b1,
    b2=config.optim.b2,
    eps=config.optim.eps,
    weight_decay=config.optim.weight_decay,
    clip_norm=config.optim.clip_norm,
  )


def make_mesh(
  config: ml_collections.ConfigDict,
  model: LlamaConfig,
  devices: Sequence[Any] | None = None,
) -> jax.sharding.Mesh:
  """The device mesh, checked against the batch and the model.

  Args:
    config: Of the run.
    model: Its model.
    devices: All devices of the job; None is those of this process group.

  Raises:
    ValueError: The mesh does not cover the devices, or a batch or an axis of
      the model cannot be split over it.
  """
  rows, parts = config.data.batch_size, config.data.num_microbatches
  if rows < 1 or parts < 1 or rows % parts:
    raise ValueError(
      f"data.batch_size={rows} must be a positive multiple of"
      f" data.num_microbatches={parts}."
    )
  mesh = sharding.make_mesh(config.mesh.to_dict(), devices)
  ways = sharding.num_batch_shards(mesh)
  if (rows // parts) % ways:
    raise ValueError(
      f"a microbatch of {rows // parts} rows (data.batch_size /"
      f" data.num_microbatches) cannot be split over data * fsdp = {ways}"
      f" devices: make it a multiple of {ways}, or lower mesh.fsdp."
    )
  _refuse_uneven_rows(config.data, mesh.shape["sequence"])
  llama.param_shardings(model, mesh)  # Raises where the model does not divide.
  return mesh


def _refuse_uneven_rows(data: ml_collections.ConfigDict, ways: int) -> None:
  """A row is as long as `data.row_length`, or some times `data.max_length`."""
  for field in ("max_length", "row_length"):
    length = data.get(field)
    if length and length % ways:
      raise ValueError(
        f"rows of data.{field}={length} tokens cannot be split over"
        f" mesh.sequence={ways} devices: make it a multiple of {ways}, or lower"
        " mesh.sequence."
      )


def make_checkpoints(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Checkpoints:
  """The run's checkpoint folders."""
  return Checkpoints(
    workdir,
    keep=config.checkpoint.keep,
    keep_every=config.checkpoint.keep_every,
    local_dir=config.checkpoint.local_dir,
    local_every=config.checkpoint.local_every_steps,
  )


def make_recorder(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  first_step: int,
  progress: Mapping[str, Any],
) -> Recorder:
  """The run's log, continued after `first_step`."""
  return Recorder(
    workdir,
    total_steps=config.run.total_steps,
    first_step=first_step,
    elapsed_s=progress["elapsed_s"],
    tensorboard=config.run.tensorboard,
    wandb_project=config.run.wandb_project,
    config=config.to_dict(),
  )
