# SPDX-License-Identifier: Apache-2.0
"""The loop: when it logs, evaluates, saves and stops."""

import os
import signal

import numpy as np
import pytest
from tiny_loop import run

from ramjax.trainers import loop
from ramjax.trainers.checkpoints import Checkpoints


def test_it_trains_for_the_given_number_of_steps(tmp_path):
  state, outcome, log = run(tmp_path)
  assert outcome is loop.Outcome.FINISHED
  assert state.step == 6 and log.advanced == 6
  # Each step of 0.25 on (w - 1)^2 halves the distance to 1.
  np.testing.assert_allclose(state.params["w"], [1 - 0.5**6], rtol=1e-6)


def test_it_evaluates_before_periodically_and_after(tmp_path):
  seen = []

  def evaluate(state, step):
    seen.append((step, int(state.step)))
    return {"eval/loss": 1.0}

  _, _, log = run(tmp_path, eval_every=4, evaluate=evaluate)
  assert seen == [(0, 0), (4, 4), (6, 6)]
  evals = [step for step, metrics in log.lines if "eval/loss" in metrics]
  assert evals == [0, 4, 6]


def test_it_saves_periodically_and_at_the_end(tmp_path):
  run(tmp_path, save_every=4)
  assert {p.name for p in (tmp_path / "checkpoints").iterdir()} >= {"4", "6"}


def test_a_step_that_is_measured_is_on_disk_before(tmp_path):
  seen = []

  def measure(state, step, check):
    check()
    seen.append((step, int(state.step)))
    assert (tmp_path / "checkpoints" / str(step)).is_dir()

  run(
    tmp_path,
    save_every=4,
    is_measured=lambda step: step in (3, 6),
    measure=measure,
  )
  assert seen == [(3, 3), (6, 6)]


def test_what_a_kill_left_unmeasured_is_measured_when_the_run_goes_on(tmp_path):
  run(tmp_path)
  seen = []

  def measure(state, step, check):
    seen.append((step, int(state.step)))

  run(tmp_path, is_measured=lambda _: True, measure=measure)
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
  _, outcome, _ = run(tmp_path, **options, measure=measure)
  assert outcome is loop.Outcome.PREEMPTED
  assert parts == [(4, 0), (4, 1)]
  assert (tmp_path / "checkpoints" / "4").is_dir()

  def rest(state, step, check):
    parts.append((step, 2))
    left.clear()

  _, outcome, _ = run(tmp_path, **options, measure=rest)
  assert outcome is loop.Outcome.FINISHED and parts[-1] == (4, 2)


def test_no_measurement_starts_after_sigterm(tmp_path):
  def terminate(batch):
    os.kill(os.getpid(), signal.SIGTERM)

  measured = []
  _, outcome, _ = run(
    tmp_path,
    on_batch=terminate,
    is_measured=lambda step: True,
    measure=lambda state, step, check: measured.append(step),
  )
  assert outcome is loop.Outcome.PREEMPTED and measured == []


def test_a_finished_run_does_nothing_more(tmp_path):
  run(tmp_path)
  state, outcome, log = run(tmp_path)
  assert outcome is loop.Outcome.FINISHED
  assert state.step == 6 and log.lines == []


def test_sigterm_saves_after_the_step_in_flight_and_the_run_goes_on(tmp_path):
  values = [float(i) for i in range(10)]

  def terminate_at_three(batch):
    if batch["x"][0] == 2.0:
      os.kill(os.getpid(), signal.SIGTERM)

  before = signal.getsignal(signal.SIGTERM)
  state, outcome, log = run(
    tmp_path / "cut", data=values, on_batch=terminate_at_three, log_every=1
  )
  assert outcome is loop.Outcome.PREEMPTED
  assert state.step == 3 and "SIGTERM" in log.said[0]
  assert signal.getsignal(signal.SIGTERM) is before
  resumed, outcome, log = run(tmp_path / "cut", data=values, log_every=1)
  assert outcome is loop.Outcome.FINISHED
  assert [step for step, _ in log.lines] == [4, 5, 6]
  whole, _, whole_log = run(tmp_path / "whole", data=values, log_every=1)
  np.testing.assert_array_equal(resumed.params["w"], whole.params["w"])
  for (_, one), (_, other) in zip(log.lines, whole_log.lines[3:], strict=True):
    assert one["train/loss"] == other["train/loss"]
    assert one["train/tokens"] == other["train/tokens"]


def test_sigterm_while_the_policy_samples_saves_the_state_before(tmp_path):
  asked = []

  def next_batch(state, settle, check):
    settle()
    asked.append(int(state.step))
    if len(asked) == 3:
      os.kill(os.getpid(), signal.SIGTERM)
      check()
    return {"x": np.full(1, 1.0, np.float32)}, {}

  _, outcome, _ = run(tmp_path, next_batch=next_batch)
  assert outcome is loop.Outcome.PREEMPTED
  # The third batch was never made; it is asked for again.
  _, outcome, _ = run(tmp_path, next_batch=next_batch)
  assert outcome is loop.Outcome.FINISHED
  assert asked == [0, 1, 2, 2, 3, 4, 5]


def test_an_error_of_a_save_ends_the_run_at_the_next_step(
  tmp_path, monkeypatch
):
  def check(self):
    raise OSError("no room")

  monkeypatch.setattr(Checkpoints, "check", check)
  taken = []
  with pytest.raises(OSError, match="no room"):
    run(tmp_path, on_batch=taken.append)
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
  run(tmp_path, save_every=4)
  assert saved == [("save_local", 2), ("save", 4), ("save", 6)]
