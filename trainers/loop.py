# SPDX-License-Identifier: Apache-2.0
"""The one training loop: data, step, log, evaluate, save; every algorithm's.

The host runs one step ahead of the device: the metrics of a step are read
after the next one is queued, so nothing waits for a transfer.
"""

import dataclasses
import enum
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.sigterm import Sigterm, Stopped
from ramjax.trainers.state import TrainState
from ramjax.trainers.step import GATE_PREFIX


class Outcome(enum.Enum):
  """How a run ended."""

  FINISHED = "finished"
  PREEMPTED = "preempted"


class NonFiniteError(RuntimeError):
  """The loss or the gradient stopped being a number."""


class FirstStepError(RuntimeError):
  """What the first step computed cannot be right."""


@dataclasses.dataclass(frozen=True)
class Schedule:
  """When the loop does what, in steps.

  Evaluation before the first step and after the last, and saving at the end,
  always happen; a period of 0 adds nothing in between.
  """

  total_steps: int
  log_every: int
  eval_every: int
  save_every: int

  def __post_init__(self):
    if self.total_steps < 1 or self.log_every < 1:
      raise ValueError(
        f"run.total_steps={self.total_steps} and run.log_every="
        f"{self.log_every} must be at least 1."
      )
    if self.eval_every < 0 or self.save_every < 0:
      raise ValueError(
        f"evals.every_steps={self.eval_every} and checkpoint.every_steps="
        f"{self.save_every} must be at least 0; 0 is only at the end."
      )


@dataclasses.dataclass
class _Interval:
  """Sums since the last logged step."""

  sums: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  sampled: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  places: int = 0
  tokens: int = 0
  supervised: int = 0
  steps: int = 0
  start: float = dataclasses.field(default_factory=time.monotonic)

  def to_json(self) -> dict[str, Any]:
    """All but the clock, which does not run between two processes."""
    fields = dataclasses.asdict(self)
    del fields["start"]
    return fields

  def add(
    self,
    metrics: Mapping[str, WeightedMean],
    counts: "BatchCounts",
    sampled: Mapping[str, float],
  ):
    for name, mean in metrics.items():
      if name.startswith(GATE_PREFIX):
        continue
      pair = self.sums.setdefault(name, [0.0, 0.0])
      pair[0] += float(mean.total)
      pair[1] += float(mean.weight)
    self.places += counts.places
    self.tokens += counts.tokens
    self.supervised += counts.supervised
    self.steps += 1
    for name, value in sampled.items():
      pair = self.sampled.setdefault(name, [0.0, 0.0])
      pair[0] += value
      pair[1] += 1


NextBatch = Callable[
  [TrainState, Callable[[], None], Callable[[], None]],
  tuple[Any, Mapping[str, float]],
]


@dataclasses.dataclass(frozen=True)
class BatchCounts:
  """What a batch holds: places (padding included), tokens, supervised ones."""

  places: int
  tokens: int
  supervised: int


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
  check_first_step: Callable[[Mapping[str, float]], list[str]],
  learning_rate: Callable[[int], Any],
  schedule: Schedule,
  checkpoints: Checkpoints,
  recorder: Recorder,
  progress: dict[str, Any],
) -> tuple[TrainState, Outcome]:
  """Trains from `state.step` to `schedule.total_steps`.

  SIGTERM ends the run after the step in flight, with a checkpoint.

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
    check_first_step: What is wrong with the metrics of the first step, which
      are those of the model before any update; a sentence each.
    learning_rate: Of a step, for the log.
    schedule: When to log, evaluate and save.
    checkpoints: Where to save.
    recorder: Where to log.
    progress: Saved with the state: `tokens`, `supervised_tokens`, `elapsed_s`
      and, in a restored one, `interval`. Updated in place.

  Returns:
    The last state and how the run ended.

  Raises:
    NonFiniteError: The loss or gradient norm of a step is not finite; names
      the step and the last good checkpoint. That state is not saved.
    FirstStepError: `check_first_step` found something.
  """
  step = int(state.step)
  total = schedule.total_steps
  interval = _Interval(**progress.pop("interval", {}))
  pending: tuple[int, Any, BatchCounts, Mapping[str, float]] | None = None

  def settle() -> None:
    """Reads the queued step's metrics; logs at the end of an interval."""
    nonlocal interval, pending
    if pending is None:
      return
    at, metrics, counts, sampled = pending
    pending = None
    metrics = jax.device_get(metrics)
    if at == 1:
      # First, for it knows more of what makes a loss infinite than the next.
      _require_plausible(metrics, counts, check_first_step)
    _require_finite(at, metrics, checkpoints)
    interval.add(metrics, counts, sampled)
    progress["tokens"] += counts.tokens
    progress["supervised_tokens"] += counts.supervised
    recorder.advance()
    if at % schedule.log_every == 0 or at == total:
      rate = float(learning_rate(at - 1))
      recorder.log(at, _train_metrics(interval, progress, rate))
      interval = _Interval()

  def save() -> None:
    progress["elapsed_s"] = recorder.elapsed_s
    progress["interval"] = interval.to_json()
    checkpoints.save(step, state, batches, dict(progress))

  with Sigterm() as sigterm:
    if step == 0:
      _evaluate(evaluate, state, 0, recorder, interval)
    elif is_measured(step):  # A kill came between.
      _measure(measure, state, step, sigterm, interval)
    while step < total and not sigterm.received:
      try:
        host_batch, sampled = next_batch(state, settle, sigterm.check)
      except Stopped:
        break
      counts = count_batch(host_batch)
      state, metrics = train_step(state, place_batch(host_batch))
      step += 1
      settle()
      pending = (step, metrics, counts, sampled)
      if _due(step, schedule.eval_every) or step == total:
        settle()
        _evaluate(evaluate, state, step, recorder, interval)
      if _due(step, schedule.save_every) or is_measured(step) or step == total:
        settle()
        save()
      if is_measured(step):
        checkpoints.wait()
        _measure(measure, state, step, sigterm, interval)
    settle()
    if step < total:
      recorder.say(f"SIGTERM: saving step {step} and stopping.")
      save()
    checkpoints.wait()
    left = step < total or (sigterm.received and is_measured(step))
  return state, Outcome.PREEMPTED if left else Outcome.FINISHED


def _evaluate(evaluate, state, step, recorder, interval) -> None:
  """Evaluates and logs; the time it takes is not the train steps'."""
  started = time.monotonic()
  metrics = evaluate(state, step)
  if metrics:
    recorder.log(step, metrics)
  interval.start += time.monotonic() - started


def _measure(measure, state, step, sigterm, interval) -> None:
  """Runs benchmarks, unless SIGTERM has come; their time is not the steps'."""
  started = time.monotonic()
  try:
    sigterm.check()
    measure(state, step, sigterm.check)
  except Stopped:
    pass  # The loop ends next.
  interval.start += time.monotonic() - started


def _due(step: int, every: int) -> bool:
  return every > 0 and step % every == 0


def _require_finite(step: int, metrics: Any, checkpoints: Checkpoints) -> None:
  for name in ("loss", "grad_norm"):
    value = float(metrics[name].value)
    if not math.isfinite(value):
      checkpoints.wait()
      last = checkpoints.latest_step()
      good = "no checkpoint was saved yet"
      if last is not None:
        good = f"the last good checkpoint is {checkpoints.path(last)}"
      raise NonFiniteError(
        f"{name}={value} at step {step}: {good}."
        " Lower optim.learning_rate, set optim.clip_norm, or look at the data"
        " of that step."
      )


def _require_plausible(
  metrics: Mapping[str, WeightedMean],
  counts: BatchCounts,
  check: Callable[[Mapping[str, float]], list[str]],
) -> None:
  values = {name: float(mean.value) for name, mean in metrics.items()}
  values["supervised_share"] = counts.supervised / max(counts.tokens, 1)
  wrong = check(values)
  if wrong:
    raise FirstStepError(
      "the figures of the first step cannot be right:\n  "
      + "\n  ".join(wrong)
      + "\nNothing was saved. --config.run.first_step_checks=False trains on"
      " regardless."
    )


def _train_metrics(
  interval: _Interval, progress: Mapping[str, float], learning_rate: float
) -> dict[str, float]:
  seconds = max(time.monotonic() - interval.start, 1e-9)
  means = {
    f"train/{name}": total / weight if weight else 0.0
    for name, (total, weight) in interval.sums.items()
  }
  sampled = {name: total / n for name, (total, n) in interval.sampled.items()}
  return {
    **means,
    **sampled,
    "train/learning_rate": learning_rate,
    "train/tokens": progress["tokens"],
    "train/supervised_tokens": progress["supervised_tokens"],
    "train/tokens_per_s": interval.tokens / seconds,
    "train/supervised_tokens_per_s": interval.supervised / seconds,
    "train/padding_share": 1 - interval.tokens / interval.places,
    "train/step_s": seconds / interval.steps,
  }
