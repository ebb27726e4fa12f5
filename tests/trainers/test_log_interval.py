# SPDX-License-Identifier: Apache-2.0
"""A line of the log has the means since the line before, wherever a run stopped."""

import os
import signal

import numpy as np
from tiny_loop import run

from ramjax.trainers import loop


def test_metrics_are_means_over_the_steps_since_the_last_line(tmp_path):
  _, _, log = run(tmp_path)
  assert [step for step, _ in log.lines] == [2, 4, 6]
  first = log.lines[0][1]
  # Losses 1 and 1/4.
  np.testing.assert_allclose(first["train/loss"], 0.625)
  np.testing.assert_allclose(first["train/padding_share"], 0.2)
  assert first["train/tokens"] == 16
  assert first["train/supervised_tokens"] == 4
  assert first["train/learning_rate"] == 1.25


def test_figures_of_a_rollout_are_means_over_those_since_the_last_line(
  tmp_path,
):
  calls = []

  def next_batch(state, settle, check):
    calls.append(int(state.step))
    # A rollout serves two steps; the third line has none.
    told = {} if len(calls) % 2 == 0 else {"rollout/score": float(len(calls))}
    return {"x": np.full(1, 1.0, np.float32)}, told

  _, _, log = run(tmp_path, next_batch=next_batch, log_every=3)
  assert calls == list(range(6))
  # Of steps 1 and 3; then of step 5.
  assert [line["rollout/score"] for _, line in log.lines] == [2.0, 5.0]
  _, _, log = run(tmp_path / "other", next_batch=next_batch, log_every=1)
  assert "rollout/score" not in log.lines[1][1]


def test_figures_of_rollouts_survive_a_stop_within_an_interval(tmp_path):
  asked = []

  def next_batch(state, settle, check):
    del settle, check
    asked.append(int(state.step))
    if len(asked) == 2:
      os.kill(os.getpid(), signal.SIGTERM)
    told = {"rollout/score": float(state.step)}
    return {"x": np.full(1, 1.0, np.float32)}, told

  _, outcome, _ = run(tmp_path, next_batch=next_batch, log_every=6)
  assert outcome is loop.Outcome.PREEMPTED
  _, _, log = run(tmp_path, next_batch=next_batch, log_every=6)
  assert log.lines[-1][1]["rollout/score"] == 2.5
