# SPDX-License-Identifier: Apache-2.0
"""The loop: when it logs, evaluates, saves and stops."""

import dataclasses
import json
import os
import signal

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import sharding
from ramjax.trainers import loop, run_error
from ramjax.trainers import step as step_lib
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.goodput import Goodput
from ramjax.trainers.loop_schedule import Schedule
from ramjax.trainers.profile_steps import Profile
from ramjax.trainers.replicas import ReplicaCheck
from ramjax.trainers.run_error import ReplicaError
from ramjax.trainers.shared_stop import SharedStop
from ramjax.trainers.skipped_updates import SkipRule
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


def _make_watch(workdir, mesh):
  return Watch(
    goodput=Goodput(workdir),
    watchdog=Watchdog(0.0, workdir),
    profile=Profile(range(0), workdir),
    replicas=ReplicaCheck(0, mesh),
  )


def _run(
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
    return loop.BatchCounts(places=10, tokens=8, supervised=2)

  log = _Log()
  options = dict(total_steps=6, log_every=2, eval_every=0, save_every=0)
  schedule = Schedule(**{**options, **when})
  watch = watch or _make_watch(workdir, mesh)
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


def test_it_trains_for_the_given_number_of_steps(tmp_path):
  state, outcome, log = _run(tmp_path)
  assert outcome is loop.Outcome.FINISHED
  assert state.step == 6 and log.advanced == 6
  # Each step of 0.25 on (w - 1)^2 halves the distance to 1.
  np.testing.assert_allclose(state.params["w"], [1 - 0.5**6], rtol=1e-6)


def test_metrics_are_means_over_the_steps_since_the_last_line(tmp_path):
  _, _, log = _run(tmp_path)
  assert [step for step, _ in log.lines] == [2, 4, 6]
  first = log.lines[0][1]
  # Losses 1 and 1/4.
  np.testing.assert_allclose(first["train/loss"], 0.625)
  np.testing.assert_allclose(first["train/padding_share"], 0.2)
  assert first["train/tokens"] == 16
  assert first["train/supervised_tokens"] == 4
  assert first["train/learning_rate"] == 1.25


def test_it_evaluates_before_periodically_and_after(tmp_path):
  seen = []

  def evaluate(state, step):
    seen.append((step, int(state.step)))
    return {"eval/loss": 1.0}

  _, _, log = _run(tmp_path, eval_every=4, evaluate=evaluate)
  assert seen == [(0, 0), (4, 4), (6, 6)]
  evals = [step for step, metrics in log.lines if "eval/loss" in metrics]
  assert evals == [0, 4, 6]


def test_it_saves_periodically_and_at_the_end(tmp_path):
  _run(tmp_path, save_every=4)
  assert {p.name for p in (tmp_path / "checkpoints").iterdir()} >= {"4", "6"}


def test_a_step_that_is_measured_is_on_disk_before(tmp_path):
  seen = []

  def measure(state, step, check):
    check()
    seen.append((step, int(state.step)))
    assert (tmp_path / "checkpoints" / str(step)).is_dir()

  _run(
    tmp_path,
    save_every=4,
    is_measured=lambda step: step in (3, 6),
    measure=measure,
  )
  assert seen == [(3, 3), (6, 6)]


def test_what_a_kill_left_unmeasured_is_measured_when_the_run_goes_on(tmp_path):
  _run(tmp_path)
  seen = []

  def measure(state, step, check):
    seen.append((step, int(state.step)))

  _run(tmp_path, is_measured=lambda _: True, measure=measure)
  assert seen == [(6, 6)]


@pytest.mark.parametrize("total_steps", [6, 4])
def test_sigterm_ends_a_measurement_at_its_next_check(tmp_path, total_steps):
  """After the last step, too: what is left is for the next process."""
  parts = []

  def measure(state, step, check):
    for part in range(3):
      check()
      parts.append((step, part))
      if part == 1 and len(parts) == 2:
        os.kill(os.getpid(), signal.SIGTERM)

  left = {4}
  options = dict(total_steps=total_steps, is_measured=lambda step: step in left)
  _, outcome, _ = _run(tmp_path, **options, measure=measure)
  assert outcome is loop.Outcome.PREEMPTED
  assert parts == [(4, 0), (4, 1)]
  assert (tmp_path / "checkpoints" / "4").is_dir()

  def rest(state, step, check):
    parts.append((step, 2))
    left.clear()

  _, outcome, _ = _run(tmp_path, **options, measure=rest)
  assert outcome is loop.Outcome.FINISHED and parts[-1] == (4, 2)


def test_no_measurement_starts_after_sigterm(tmp_path):
  def terminate(batch):
    os.kill(os.getpid(), signal.SIGTERM)

  measured = []
  _, outcome, _ = _run(
    tmp_path,
    on_batch=terminate,
    is_measured=lambda step: True,
    measure=lambda state, step, check: measured.append(step),
  )
  assert outcome is loop.Outcome.PREEMPTED and measured == []


def test_a_finished_run_does_nothing_more(tmp_path):
  _run(tmp_path)
  state, outcome, log = _run(tmp_path)
  assert outcome is loop.Outcome.FINISHED
  assert state.step == 6 and log.lines == []


def test_sigterm_saves_after_the_step_in_flight_and_the_run_goes_on(tmp_path):
  values = [float(i) for i in range(10)]

  def terminate_at_three(batch):
    if batch["x"][0] == 2.0:
      os.kill(os.getpid(), signal.SIGTERM)

  before = signal.getsignal(signal.SIGTERM)
  state, outcome, log = _run(
    tmp_path / "cut", data=values, on_batch=terminate_at_three, log_every=1
  )
  assert outcome is loop.Outcome.PREEMPTED
  assert state.step == 3 and "SIGTERM" in log.said[0]
  assert signal.getsignal(signal.SIGTERM) is before
  resumed, outcome, log = _run(tmp_path / "cut", data=values, log_every=1)
  assert outcome is loop.Outcome.FINISHED
  assert [step for step, _ in log.lines] == [4, 5, 6]
  whole, _, whole_log = _run(tmp_path / "whole", data=values, log_every=1)
  np.testing.assert_array_equal(resumed.params["w"], whole.params["w"])
  for (_, one), (_, other) in zip(log.lines, whole_log.lines[3:], strict=True):
    assert one["train/loss"] == other["train/loss"]
    assert one["train/tokens"] == other["train/tokens"]


@pytest.mark.parametrize("save_every", [0, 2])
def test_a_non_finite_loss_stops_and_names_the_last_good_checkpoint(
  tmp_path, save_every
):
  data = [1.0, 1.0, 1.0, float("nan"), 1.0, 1.0]
  with pytest.raises(
    run_error.NonFiniteError, match="loss=nan at step 4"
  ) as error:
    _run(tmp_path, data=data, save_every=save_every)
  if save_every:
    assert str(tmp_path / "checkpoints" / "2") in str(error.value)
  else:
    assert "no checkpoint was saved" in str(error.value)
  saved = {p.name for p in (tmp_path / "checkpoints").iterdir()}
  assert not saved & {"4", "5", "6"}


def test_the_first_step_is_checked_once_with_figures_from_before_any_update(
  tmp_path,
):
  seen = []

  def check(metrics):
    seen.append(dict(metrics))
    return []

  _, _, log = _run(tmp_path, check=check)
  (metrics,) = seen
  # (0 - 1)^2 at w = 0; two tokens of eight are supervised.
  assert metrics["loss"] == 1 and metrics["gate/off"] == 0
  assert metrics["supervised_share"] == 0.25
  assert all("gate/off" not in line for _, line in log.lines)
  assert all("train/gate/off" not in line for _, line in log.lines)


def test_a_first_step_that_cannot_be_right_stops_and_saves_nothing(tmp_path):
  with pytest.raises(run_error.FirstStepError) as error:
    _run(tmp_path, check=lambda metrics: ["one thing.", "another."])
  assert "  one thing.\n  another.\n" in str(error.value)
  assert "run.first_step_checks=False" in str(error.value)
  assert not list((tmp_path / "checkpoints").iterdir())


def test_a_continued_run_is_not_checked_again(tmp_path):
  asked = []

  def check(metrics):
    asked.append(metrics)
    return []

  _run(tmp_path, total_steps=2, check=check)
  assert len(asked) == 1
  state, outcome, _ = _run(tmp_path, total_steps=4, check=check)
  assert len(asked) == 1
  assert state.step == 4 and outcome is loop.Outcome.FINISHED


@pytest.mark.parametrize("save_every", [1, 2])
def test_even_a_save_at_the_first_step_comes_after_the_check(
  tmp_path, save_every
):
  with pytest.raises(run_error.FirstStepError):
    _run(
      tmp_path,
      save_every=save_every,
      check=lambda metrics: ["wrong."],
      total_steps=3,
    )
  assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize(
  "field,name",
  [
    ("total_steps", "run.total_steps=0"),
    ("log_every", "run.log_every=0"),
  ],
)
def test_a_schedule_of_no_steps_is_refused(field, name):
  options = dict(total_steps=1, log_every=1, eval_every=0, save_every=0)
  with pytest.raises(ValueError, match=name.replace(".", r"\.")):
    Schedule(**{**options, field: 0})


@pytest.mark.parametrize("field", ["eval_every", "save_every"])
def test_a_negative_period_is_refused(field):
  options = dict(total_steps=1, log_every=1, eval_every=0, save_every=0)
  with pytest.raises(ValueError, match="0 is only at the end"):
    Schedule(**{**options, field: -1})


def test_figures_of_a_rollout_are_means_over_those_since_the_last_line(
  tmp_path,
):
  calls = []

  def next_batch(state, settle, check):
    calls.append(int(state.step))
    # A rollout serves two steps; the third line has none.
    told = {} if len(calls) % 2 == 0 else {"rollout/score": float(len(calls))}
    return {"x": np.full(1, 1.0, np.float32)}, told

  _, _, log = _run(tmp_path, next_batch=next_batch, log_every=3)
  assert calls == list(range(6))
  # Of steps 1 and 3; then of step 5.
  assert [line["rollout/score"] for _, line in log.lines] == [2.0, 5.0]
  _, _, log = _run(tmp_path / "other", next_batch=next_batch, log_every=1)
  assert "rollout/score" not in log.lines[1][1]


def test_what_samples_can_have_the_step_before_judged_first(tmp_path):
  logged = []

  def next_batch(state, settle, check):
    settle()
    logged.append(int(state.step))
    x = float("nan") if len(logged) == 3 else 1.0
    return {"x": np.full(1, x, np.float32)}, {}

  with pytest.raises(run_error.NonFiniteError, match="at step 3"):
    _run(tmp_path, next_batch=next_batch)
  # Nothing was asked of the state that step 3 broke.
  assert logged == [0, 1, 2]


def test_figures_of_rollouts_survive_a_stop_within_an_interval(tmp_path):
  asked = []

  def next_batch(state, settle, check):
    del settle, check
    asked.append(int(state.step))
    if len(asked) == 2:
      os.kill(os.getpid(), signal.SIGTERM)
    told = {"rollout/score": float(state.step)}
    return {"x": np.full(1, 1.0, np.float32)}, told

  _, outcome, _ = _run(tmp_path, next_batch=next_batch, log_every=6)
  assert outcome is loop.Outcome.PREEMPTED
  _, _, log = _run(tmp_path, next_batch=next_batch, log_every=6)
  assert log.lines[-1][1]["rollout/score"] == 2.5


def test_sigterm_while_the_policy_samples_saves_the_state_before(tmp_path):
  asked = []

  def next_batch(state, settle, check):
    settle()
    asked.append(int(state.step))
    if len(asked) == 3:
      os.kill(os.getpid(), signal.SIGTERM)
      check()
    return {"x": np.full(1, 1.0, np.float32)}, {}

  _, outcome, _ = _run(tmp_path, next_batch=next_batch)
  assert outcome is loop.Outcome.PREEMPTED
  # The third batch was never made; it is asked for again.
  _, outcome, _ = _run(tmp_path, next_batch=next_batch)
  assert outcome is loop.Outcome.FINISHED
  assert asked == [0, 1, 2, 2, 3, 4, 5]


_NAN = float("nan")
_SKIP = SkipRule(max_in_a_row=2, spike_sigma=0.0, window=128)


def test_a_skipped_update_is_counted_and_out_of_the_means(tmp_path):
  data = [1.0, 1.0, 1.0, _NAN, 1.0, 1.0]
  state, outcome, log = _run(
    tmp_path, data=data, skip=_SKIP, max_skipped=2, log_every=2
  )
  assert outcome is loop.Outcome.FINISHED and state.step == 6
  # Five updates, each of which halves the distance to 1.
  np.testing.assert_allclose(state.params["w"], [1 - 0.5**5], rtol=1e-6)
  lines = [line for _, line in log.lines]
  assert [line["train/skipped"] for line in lines] == [0, 1, 1]
  # Of step 3 alone: the distance is 1/4 before it.
  np.testing.assert_allclose(lines[1]["train/loss"], 1 / 16)
  # The batch was read all the same; the schedule stands still.
  assert [line["train/tokens"] for line in lines] == [16, 32, 48]
  assert [line["train/learning_rate"] for line in lines] == [1.25, 2.25, 4.25]
  assert not any("skipped_in_a_row" in name for name in lines[1])


def test_more_in_a_row_than_allowed_stop_the_run(tmp_path):
  data = [1.0, _NAN, _NAN, 1.0, _NAN, _NAN, _NAN, 1.0]
  with pytest.raises(run_error.TooManySkippedError) as error:
    _run(
      tmp_path,
      data=data,
      skip=_SKIP,
      max_skipped=2,
      total_steps=8,
      save_every=4,
    )
  message = str(error.value)
  assert "3 updates in a row were skipped, the last at step 7" in message
  assert "loss=nan" in message and "optim.max_skipped=2" in message
  assert f"checkpoint is {tmp_path / 'checkpoints' / '4'}" in message


@pytest.mark.parametrize("save_every", [3, 4])
def test_what_is_skipped_counts_on_in_a_continued_run(tmp_path, save_every):
  """Also where the run stopped between two skipped updates."""
  data = [1.0, 1.0, _NAN, _NAN, 1.0, 50.0, 1.0, 1.0]
  rule = SkipRule(max_in_a_row=2, spike_sigma=6.0, window=2)
  options = dict(data=data, skip=rule, max_skipped=2, log_every=1)
  whole, _, _ = _run(tmp_path / "whole", total_steps=8, **options)
  _run(tmp_path / "cut", total_steps=save_every, **options)
  resumed, _, log = _run(tmp_path / "cut", total_steps=8, **options)
  np.testing.assert_array_equal(resumed.params["w"], whole.params["w"])
  jax.tree.map(np.testing.assert_array_equal, resumed.skips, whole.skips)
  assert whole.skips["skipped"] == 3
  assert log.lines[-1][1]["train/skipped"] == 3


def test_a_run_that_was_stopped_may_go_on_and_skip(tmp_path):
  data = [1.0, 1.0, _NAN, 1.0]
  with pytest.raises(
    run_error.NonFiniteError, match=r"optim\.max_skipped=3 would"
  ):
    _run(tmp_path, data=data, save_every=2)
  state, _, log = _run(
    tmp_path, data=data, skip=_SKIP, max_skipped=2, total_steps=4
  )
  np.testing.assert_allclose(state.params["w"], [1 - 0.5**3], rtol=1e-6)
  assert log.lines[-1][1]["train/skipped"] == 1


def test_the_time_of_a_run_is_told_at_its_end_and_kept(tmp_path):
  _, _, log = _run(tmp_path, total_steps=4)
  assert log.said[-1].startswith("goodput ")
  lines = (tmp_path / "goodput.jsonl").read_text().splitlines()
  # After each line of the log, and at the end.
  records = [json.loads(line) for line in lines]
  assert [record["step"] for record in records] == [2, 4, 4]
  assert [record["finished"] for record in records] == [False, False, True]
  assert records[-1]["seconds"].keys() >= {
    "initialisation", "compile", "step", "evaluation", "checkpoint",
  }  # fmt: skip


def test_steps_that_are_done_again_are_replayed(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    _run(tmp_path, save_every=3, log_every=1, on_batch=_interrupt_at(6))
  # Step 4 was logged; the run goes on after 3.
  _, _, log = _run(tmp_path, log_every=1)
  assert "in 2 starts" in log.said[-1]
  lines = (tmp_path / "goodput.jsonl").read_text().splitlines()
  assert json.loads(lines[-1])["seconds"]["replayed"] > 0


def _interrupt_at(number):
  """A `on_batch` that ends the run at the batch of that number."""
  seen = []

  def interrupt(batch):
    seen.append(batch)
    if len(seen) == number:
      raise KeyboardInterrupt

  return interrupt


def test_whatever_takes_long_is_told_to_the_watchdog(tmp_path):
  told, beats = [], []

  class _Told(Watchdog):
    def during(self, doing, *, times):
      told.append((doing, times))
      return super().during(doing, times=times)

    def beat(self):
      beats.append(len(told))

  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  quiet = _make_watch(tmp_path, mesh)
  watch = dataclasses.replace(quiet, watchdog=_Told(0.0, tmp_path))
  _run(
    tmp_path,
    total_steps=2,
    watch=watch,
    is_measured=lambda step: step == 2,
  )
  names = [name for name, _ in told]
  assert names == [
    "evaluation", "compile", "evaluation", "checkpoint", "checkpoint",
    "benchmarks", "checkpoint",
  ]  # fmt: skip
  assert all(times == 10 for _, times in told)
  # One a step, and one where the measurement was about to begin.
  assert len(beats) == 3


def test_copies_are_compared_when_they_are_due(tmp_path):
  seen = []

  class _Check(ReplicaCheck):
    def check(self, state, step):
      seen.append((int(state.step), step))
      if step == 4:
        raise ReplicaError("they differ")

  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  watch = dataclasses.replace(
    _make_watch(tmp_path, mesh), replicas=_Check(2, mesh)
  )
  with pytest.raises(ReplicaError):
    _run(tmp_path, watch=watch, save_every=1)
  assert seen == [(2, 2), (4, 4)]
  # What is found wrong is not saved.
  assert not (tmp_path / "checkpoints" / "4").exists()


def test_an_error_of_a_save_ends_the_run_at_the_next_step(
  tmp_path, monkeypatch
):
  def check(self):
    raise OSError("no room")

  monkeypatch.setattr(Checkpoints, "check", check)
  taken = []
  with pytest.raises(OSError, match="no room"):
    _run(tmp_path, on_batch=taken.append)
  assert len(taken) == 1


def test_a_local_checkpoint_is_saved_where_no_other_is(tmp_path, monkeypatch):
  saved = []
  for name in ("save", "save_local"):
    monkeypatch.setattr(
      Checkpoints,
      name,
      lambda self, step, *_, name=name: saved.append((name, step)),
    )
  monkeypatch.setattr(
    Checkpoints, "is_local_due", lambda self, step: step % 2 == 0
  )
  _run(tmp_path, save_every=4)
  assert saved == [("save_local", 2), ("save", 4), ("save", 6)]
