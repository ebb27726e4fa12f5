# SPDX-License-Identifier: Apache-2.0
"""Onlookers of a run are told what takes time, and stop what is wrong."""

import dataclasses
import json

import jax
import pytest
from tiny_loop import make_watch, run

from ramjax.models import sharding
from ramjax.trainers.replicas import ReplicaCheck
from ramjax.trainers.run_error import ReplicaError
from ramjax.trainers.watchdog import Watchdog


def test_the_time_of_a_run_is_told_at_its_end_and_kept(tmp_path):
  _, _, log = run(tmp_path, total_steps=4)
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
    run(tmp_path, save_every=3, log_every=1, on_batch=_interrupt_at(6))
  # Step 4 was logged; the run goes on after 3.
  _, _, log = run(tmp_path, log_every=1)
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
    def during(self, doing):
      told.append(doing)
      return super().during(doing)

    def beat(self):
      beats.append(len(told))

  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  quiet = make_watch(tmp_path, mesh)
  watch = dataclasses.replace(
    quiet, watchdog=_Told(0.0, tmp_path, long_seconds=0.0)
  )
  run(
    tmp_path,
    total_steps=2,
    watch=watch,
    is_measured=lambda step: step == 2,
  )
  assert told == [
    "evaluation", "compile", "evaluation", "checkpoint", "checkpoint",
    "benchmarks", "checkpoint",
  ]  # fmt: skip
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
    make_watch(tmp_path, mesh), replicas=_Check(2, mesh)
  )
  with pytest.raises(ReplicaError):
    run(tmp_path, watch=watch, save_every=1)
  assert seen == [(2, 2), (4, 4)]
  # What is found wrong is not saved.
  assert not (tmp_path / "checkpoints" / "4").exists()
