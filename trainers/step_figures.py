# SPDX-License-Identifier: Apache-2.0
"""The figures of each step: read one step late, judged, added up and logged.

The metrics of a step are read after the next one is queued, so that nothing
waits for a transfer.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.log_interval import BatchCounts, LogInterval
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.run_error import (
  FirstStepError,
  NonFiniteError,
  TooManySkippedError,
)
from ramjax.trainers.skipped_updates import IN_A_ROW_METRIC, SKIPPED_METRIC
from ramjax.trainers.watch import Watch


class StepFigures:
  """What the steps of a run came to, and the one that is not read yet."""

  def __init__(
    self,
    progress: dict[str, Any],
    *,
    schedule: Schedule,
    check_first_step: Callable[[Mapping[str, float]], list[str]],
    learning_rate: Callable[[int], Any],
    checkpoints: Checkpoints,
    recorder: Recorder,
    watch: Watch,
  ):
    """Goes on from what was saved.

    Args:
      progress: Saved with the state and updated in place: `tokens`,
        `supervised_tokens`, `elapsed_s`, `skipped` where updates may be, and, in
        a restored one, `interval`.
      schedule: When to log, and how many updates may be skipped.
      check_first_step: What is wrong with the metrics of the first step, which
        are those of the model before any update; a sentence each.
      learning_rate: Of an update, for the log.
      checkpoints: Where the last good state is.
      recorder: Where to log.
      watch: Is told of every step.
    """
    self._interval = LogInterval(**progress.pop("interval", {}))
    self._progress = progress
    self._schedule = schedule
    self._check_first_step = check_first_step
    self._learning_rate = learning_rate
    self._checkpoints = checkpoints
    self._recorder = recorder
    self._watch = watch
    self._pending: tuple[int, Any, BatchCounts, Mapping[str, float]] | None = (
      None
    )

  def queue(
    self,
    step: int,
    metrics: Any,
    counts: BatchCounts,
    sampled: Mapping[str, float],
  ) -> None:
    """Settles the step before, and keeps this one for later."""
    self.settle()
    self._pending = (step, metrics, counts, sampled)

  @property
  def is_busy(self) -> bool:
    """Whether the device still works on the step that was queued."""
    if self._pending is None:
      return False
    return not self._pending[1]["loss"].total.is_ready()

  def settle(self) -> None:
    """Reads the queued step's metrics; logs at the end of an interval.

    Raises:
      NonFiniteError: Loss or gradient norm are no number.
      TooManySkippedError: More in a row than the schedule allows.
      FirstStepError: `check_first_step` found something.
    """
    if self._pending is None:
      return
    (at, metrics, counts, sampled), self._pending = self._pending, None
    metrics = jax.device_get(metrics)
    if at == 1:
      # First, for it knows more of what makes a loss infinite than the next.
      _require_plausible(metrics, counts, self._check_first_step)
    progress = self._progress
    if SKIPPED_METRIC in metrics:
      metrics = self._taken(at, metrics)
    else:
      self._require_finite(at, metrics)
    self._interval.add(metrics, counts, sampled)
    progress["tokens"] += counts.tokens
    progress["supervised_tokens"] += counts.supervised
    self._recorder.advance()
    self._watch.step_done(at)
    schedule = self._schedule
    if at % schedule.log_every == 0 or at == schedule.total_steps:
      # A skipped update does not move the schedule on.
      update = max(at - 1 - progress.get("skipped", 0), 0)
      rate = float(self._learning_rate(update))
      self._recorder.log(at, self._interval.metrics(progress, rate))
      self._watch.goodput.write()
      self._interval = LogInterval()

  def saved(self) -> dict[str, Any]:
    """What goes into a checkpoint of them, once the last step is settled."""
    self.settle()
    self._progress["elapsed_s"] = self._recorder.elapsed_s
    self._progress["interval"] = self._interval.to_json()
    return dict(self._progress)

  @contextlib.contextmanager
  def aside(self, phase: str) -> Iterator[None]:
    """A phase whose time is not that of the train steps."""
    self.settle()
    started = time.monotonic()
    with self._watch.phase(phase):
      yield
    self._interval.start += time.monotonic() - started

  def _require_finite(
    self, step: int, metrics: Mapping[str, WeightedMean]
  ) -> None:
    for name in ("loss", "grad_norm"):
      value = float(metrics[name].value)
      if not math.isfinite(value):
        raise NonFiniteError(
          f"{name}={value} at step {step}: {self._last_good()}."
          " Lower optim.learning_rate, set optim.clip_norm, or look at the data"
          " of that step; optim.max_skipped=3 would have skipped up to three"
          " such updates in a row (with --config.run.allow_config_change=True the"
          " same folder goes on with other values)."
        )

  def _taken(
    self, step: int, metrics: Mapping[str, WeightedMean]
  ) -> Mapping[str, WeightedMean]:
    """The metrics of an update that was taken, {} of one that was skipped."""
    self._progress["skipped"] = int(metrics[SKIPPED_METRIC].value)
    in_a_row = int(metrics[IN_A_ROW_METRIC].value)
    if in_a_row > self._schedule.max_skipped:
      loss, norm = (float(metrics[n].value) for n in ("loss", "grad_norm"))
      raise TooManySkippedError(
        f"{in_a_row} updates in a row were skipped, the last at step {step} with"
        f" loss={loss:.4g} and grad_norm={norm:.4g}; optim.max_skipped="
        f"{self._schedule.max_skipped}: {self._last_good()}. Lower optim.learning_rate,"
        " look at the data of these steps, or, if these are spikes that should"
        " count, raise optim.spike_sigma; with"
        " --config.run.allow_config_change=True the same folder goes on with other"
        " values."
      )
    if in_a_row:
      return {}
    counts = (SKIPPED_METRIC, IN_A_ROW_METRIC)
    return {name: mean for name, mean in metrics.items() if name not in counts}

  def _last_good(self) -> str:
    self._checkpoints.wait()
    last = self._checkpoints.latest_step()
    if last is None:
      return "no checkpoint was saved yet"
    return f"the last good checkpoint is {self._checkpoints.path(last)}"


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
