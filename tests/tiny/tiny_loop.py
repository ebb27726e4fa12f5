# SPDX-License-Identifier: Apache-2.0
"""The loop on one number, w, that is trained towards the data."""

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import sharding
from ramjax.trainers import loop
from ramjax.trainers import step as step_lib
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.goodput import Goodput
from ramjax.trainers.log_interval import BatchCounts
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.profile_steps import Profile
from ramjax.trainers.replicas import ReplicaCheck
from ramjax.trainers.shared_stop import SharedStop
from ramjax.trainers.state import init_state
from ramjax.trainers.step_figures import StepFigures
from ramjax.trainers.watch import Watch
from ramjax.trainers.watchdog import Watchdog


class _Log:
  """Stands in for the recorder: keeps what it is told."""

  elapsed_s = 12.0

  def __init__(self):
    self.lines = []
    self.said = []
    self.advanced = 0

  def log(self, step, metrics):
    self.lines.append((step, dict(metrics)))

  def say(self, text):
    self.said.append(text)

  def advance(self):
    self.advanced += 1


def _loss_fn(params, batch, key):
  del key
  loss = WeightedMean.of(jnp.square(params["w"] - batch["x"]))
  return loss, {"gate/off": WeightedMean.of(params["w"])}


def make_watch(workdir, mesh):
  """Onlookers that leave the run alone, and write the account of its time."""
  return Watch(
    goodput=Goodput(workdir),
    watchdog=Watchdog(0.0, workdir, long_seconds=0.0),
    profile=Profile(range(0), workdir),
    replicas=ReplicaCheck(0, mesh),
  )


def run(
  workdir,
  *,
  data=(1.0,) * 100,
  on_batch=None,
  evaluate=None,
  is_measured=lambda step: False,
  measure=None,
  check=lambda metrics: [],
  next_batch=None,
  skip=None,
  watch=None,
  **when,
):
  """Trains w towards `data`; returns what `loop.train` returns, and the log."""
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  optimizer = optax.sgd(0.25)
  state = init_state(
    jax.device_put({"w": jnp.zeros(1)}, sharding.batch_sharding(mesh)),
    optimizer,
    mesh=mesh,
    seed=0,
    with_ema=False,
    skips=None if skip is None else skip.initial(),
  )
  batches = iter(
    grain.MapDataset.source([{"x": np.full(1, x, np.float32)} for x in data])
    .repeat()
    .to_iter_dataset()
  )
  checkpoints = Checkpoints(workdir, keep=3, keep_every=0)
  progress = {"tokens": 0, "supervised_tokens": 0, "elapsed_s": 0.0}
  last = checkpoints.latest_step()
  if last is not None:
    state, progress = checkpoints.restore(last, state, batches)

  def count(batch):
    if on_batch is not None:
      on_batch(batch)
    return BatchCounts(places=10, tokens=8, supervised=2)

  log = _Log()
  options = dict(total_steps=6, log_every=2, eval_every=0, save_every=0)
  schedule = Schedule(**{**options, **when})
  watch = watch or make_watch(workdir, mesh)
  try:
    state, outcome = loop.train(
      state,
      batches,
      next_batch=next_batch or (lambda *_: (next(batches), {})),
      train_step=step_lib.make_train_step(
        step_lib.Objective(_loss_fn), optimizer, num_microbatches=1, skip=skip
      ),
      place_batch=lambda batch: batch,
      count_batch=count,
      evaluate=evaluate or (lambda state, step: {}),
      is_measured=is_measured,
      measure=measure or (lambda state, step, check: None),
      schedule=schedule,
      checkpoints=checkpoints,
      recorder=log,
      figures=StepFigures(
        progress,
        schedule=schedule,
        check_first_step=check,
        learning_rate=lambda step: 0.25 + step,
        checkpoints=checkpoints,
        recorder=log,
        watch=watch,
      ),
      stop=SharedStop(mesh, alone=True),
      watch=watch,
    )
  finally:
    checkpoints.close()
  return state, outcome, log
