# SPDX-License-Identifier: Apache-2.0
"""The one training loop: data, step, log, evaluate, save; every algorithm's.

The host runs one step ahead of the device: the metrics of a step are read
after the next one is queued, so nothing waits for a transfer.
"""

import contextlib
import enum
from collections.abc import Callable, Mapping
from typing import Any

from ramjax.trainers import goodput
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.log_interval import BatchCounts
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.shared_stop import SharedStop
from ramjax.trainers.sigterm import Stopped
from ramjax.trainers.state import TrainState
from ramjax.trainers.step_figures import StepFigures
from ramjax.trainers.watch import Watch


class Outcome(enum.Enum):
  """How a run ended."""

  FINISHED = "finished"
  PREEMPTED = "preempted"


NextBatch = Callable[
  [TrainState, Callable[[], None], Callable[[], None]],
  tuple[Any, Mapping[str, float]],
]


def train(
  state: TrainState,
  batches: Any,
  *,
  next_batch: NextBatch,
  train_step: Callable[[TrainState, Any], tuple[TrainState, Any]],
  place_batch: Callable[[Any], Any],
  count_batch: Callable[[Any], BatchCounts],
  evaluate: Callable[[TrainState, int], Mapping[str, float]],
  is_measured: Callable[[int], bool],
  measure: Callable[[TrainState, int, Callable[[], None]], None],
  schedule: Schedule,
  checkpoints: Checkpoints,
  recorder: Recorder,
  figures: StepFigures,
  stop: SharedStop,
  watch: Watch,
) -> tuple[TrainState, Outcome]:
  """Trains from `state.step` to `schedule.total_steps`.

  SIGTERM ends the run after the step in flight, with a checkpoint; with several
  processes, all of them after the same step.

  Args:
    state: Donated.
    batches: What batches come from; its position is saved with the state.
    next_batch: The next host batch and, where the policy samples its own, the
      metrics of a new rollout, by their full names; else none. It is given the
      state, a function to call before it samples from that, which reads and
      judges the metrics of the step before, and one to call while it samples,
      which raises where SIGTERM has come.
    train_step: `(state, batch) -> (state, metrics)`, jitted.
    place_batch: Puts a host batch on the devices.
    count_batch: Counts a host batch.
    evaluate: Held-out metrics of a state at a step; names start with `eval/`.
    is_measured: Whether `measure` has something to do at a step, which is saved
      then.
    measure: Measures and logs a state that is in a checkpoint. It is given the
      state, its step, and a function to call between two long parts, which
      raises where SIGTERM has come: the rest is for the next process.
    schedule: When to log, evaluate and save.
    checkpoints: Where to save.
    recorder: Where to log.
    figures: Of the steps; goes on from those of the process before.
    stop: Says when SIGTERM has come to any process.
    watch: What looks on.

  Returns:
    The last state and how the run ended.

  Raises:
    RunError: What a step computed is wrong; that state is not saved.
    SaveError: A checkpoint could not be written.
  """
  step, total = int(state.step), schedule.total_steps

  def check() -> None:
    watch.watchdog.beat()
    stop.check()

  def save(to: Callable[..., None]) -> None:
    counters = figures.saved()
    with watch.phase(goodput.CHECKPOINT):
      to(step, state, batches, counters)

  def evaluate_now() -> None:
    with figures.aside(goodput.EVALUATION):
      if found := evaluate(state, step):
        recorder.log(step, found)

  def measure_now() -> None:
    # The loop ends next where SIGTERM has come.
    with figures.aside(goodput.BENCHMARKS), contextlib.suppress(Stopped):
      check()
      measure(state, step, check)

  with stop, watch.looking(step):
    if step == 0:
      evaluate_now()
    elif is_measured(step):  # A kill came between.
      measure_now()
    while step < total:
      try:
        state = stop.passed(state)
        with watch.goodput.phase(goodput.DATA) as waited:
          host_batch, sampled = next_batch(state, figures.settle, check)
          counts, batch = count_batch(host_batch), place_batch(host_batch)
          waited.name = _kind_of_wait(sampled, figures)
      except Stopped:
        break
      step += 1
      with watch.starting(step):
        state, metrics = train_step(state, batch)
      figures.queue(step, metrics, counts, sampled)
      watch.after(step, state, metrics)
      if _due(step, schedule.eval_every) or step == total:
        evaluate_now()
      checkpoints.check()
      if _due(step, schedule.save_every) or is_measured(step) or step == total:
        save(checkpoints.save)
      elif checkpoints.is_local_due(step):
        save(checkpoints.save_local)
      if is_measured(step):
        with watch.phase(goodput.CHECKPOINT):
          checkpoints.wait()
        measure_now()
    figures.settle()
    if step < total:
      recorder.say(f"SIGTERM: saving step {step} and stopping.")
      save(checkpoints.save)
    with watch.phase(goodput.CHECKPOINT):
      checkpoints.wait()
    left = step < total or (stop.heard and is_measured(step))
    watch.goodput.write(finished=not left)
  recorder.say(watch.goodput.described())
  return state, Outcome.PREEMPTED if left else Outcome.FINISHED


def _kind_of_wait(sampled: Mapping[str, float], figures: StepFigures) -> str:
  """What the time was in which a batch was waited for.

  While the device works on the step before, nothing is lost.
  """
  if sampled:
    return goodput.ROLLOUT
  return goodput.STEP if figures.is_busy else goodput.DATA


def _due(step: int, every: int) -> bool:
  return every > 0 and step % every == 0
