# SPDX-License-Identifier: Apache-2.0
"""The figures of a step are judged: what cannot be ends the run, or is skipped."""

import jax
import numpy as np
import pytest
from tiny_loop import run

from ramjax.trainers import loop, run_error
from ramjax.trainers.skipped_updates import SkipRule


@pytest.mark.parametrize("save_every", [0, 2])
def test_a_non_finite_loss_stops_and_names_the_last_good_checkpoint(
  tmp_path, save_every
):
  data = [1.0, 1.0, 1.0, float("nan"), 1.0, 1.0]
  with pytest.raises(
    run_error.NonFiniteError, match="loss=nan at step 4"
  ) as error:
    run(tmp_path, data=data, save_every=save_every)
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

  _, _, log = run(tmp_path, check=check)
  (metrics,) = seen
  # (0 - 1)^2 at w = 0; two tokens of eight are supervised.
  assert metrics["loss"] == 1 and metrics["gate/off"] == 0
  assert metrics["supervised_share"] == 0.25
  assert all("gate/off" not in line for _, line in log.lines)
  assert all("train/gate/off" not in line for _, line in log.lines)


def test_a_first_step_that_cannot_be_right_stops_and_saves_nothing(tmp_path):
  with pytest.raises(run_error.FirstStepError) as error:
    run(tmp_path, check=lambda metrics: ["one thing.", "another."])
  assert "  one thing.\n  another.\n" in str(error.value)
  assert "run.first_step_checks=False" in str(error.value)
  assert not list((tmp_path / "checkpoints").iterdir())


def test_a_continued_run_is_not_checked_again(tmp_path):
  asked = []

  def check(metrics):
    asked.append(metrics)
    return []

  run(tmp_path, total_steps=2, check=check)
  assert len(asked) == 1
  state, outcome, _ = run(tmp_path, total_steps=4, check=check)
  assert len(asked) == 1
  assert state.step == 4 and outcome is loop.Outcome.FINISHED


@pytest.mark.parametrize("save_every", [1, 2])
def test_even_a_save_at_the_first_step_comes_after_the_check(
  tmp_path, save_every
):
  with pytest.raises(run_error.FirstStepError):
    run(
      tmp_path,
      save_every=save_every,
      check=lambda metrics: ["wrong."],
      total_steps=3,
    )
  assert not list((tmp_path / "checkpoints").iterdir())


def test_what_samples_can_have_the_step_before_judged_first(tmp_path):
  logged = []

  def next_batch(state, settle, check):
    settle()
    logged.append(int(state.step))
    x = float("nan") if len(logged) == 3 else 1.0
    return {"x": np.full(1, x, np.float32)}, {}

  with pytest.raises(run_error.NonFiniteError, match="at step 3"):
    run(tmp_path, next_batch=next_batch)
  # Nothing was asked of the state that step 3 broke.
  assert logged == [0, 1, 2]


_NAN = float("nan")


_SKIP = SkipRule(max_in_a_row=2, spike_sigma=0.0, window=128)


def test_a_skipped_update_is_counted_and_out_of_the_means(tmp_path):
  data = [1.0, 1.0, 1.0, _NAN, 1.0, 1.0]
  state, outcome, log = run(
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
    run(
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
  whole, _, _ = run(tmp_path / "whole", total_steps=8, **options)
  run(tmp_path / "cut", total_steps=save_every, **options)
  resumed, _, log = run(tmp_path / "cut", total_steps=8, **options)
  np.testing.assert_array_equal(resumed.params["w"], whole.params["w"])
  jax.tree.map(np.testing.assert_array_equal, resumed.skips, whole.skips)
  assert whole.skips["skipped"] == 3
  assert log.lines[-1][1]["train/skipped"] == 3


def test_a_run_that_was_stopped_may_go_on_and_skip(tmp_path):
  data = [1.0, 1.0, _NAN, 1.0]
  with pytest.raises(
    run_error.NonFiniteError, match=r"optim\.max_skipped=3 would"
  ):
    run(tmp_path, data=data, save_every=2)
  state, _, log = run(
    tmp_path, data=data, skip=_SKIP, max_skipped=2, total_steps=4
  )
  np.testing.assert_allclose(state.params["w"], [1 - 0.5**3], rtol=1e-6)
  assert log.lines[-1][1]["train/skipped"] == 1
