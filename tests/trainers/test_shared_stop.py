# SPDX-License-Identifier: Apache-2.0
"""A signal stops every process after the same call.

Between steps of two real processes: `test_lost_hosts.py`. Here one stands for
several, with several devices, but for rollouts.
"""

import dataclasses
import os
import pathlib
import signal

import jax
import optax
import pytest
import tiny_processes
from tiny_processes import STEPS, Job

from ramjax.models import sharding, weights
from ramjax.trainers.shared_stop import SharedStop
from ramjax.trainers.sigterm import Stopped
from ramjax.trainers.state import init_state


def _mesh():
  return sharding.make_mesh({"data": 2, "fsdp": 2}, jax.devices()[:4])


def _is_due(stop):
  state = init_state(
    {"w": jax.numpy.ones(4)},
    optax.sgd(0.1),
    mesh=_mesh(),
    seed=0,
    with_ema=False,
  )
  try:
    after = stop.passed(state)
  except Stopped:
    return True
  assert after.step == state.step
  return False


def _terminate():
  os.kill(os.getpid(), signal.SIGTERM)


def test_alone_it_is_due_at_once():
  with SharedStop(_mesh(), alone=True) as stop:
    assert not _is_due(stop) and not stop.heard
    stop.check()
    _terminate()
    assert _is_due(stop) and stop.heard
    with pytest.raises(Stopped):
      stop.check()


def test_with_others_it_is_due_at_the_call_after_the_one_that_told_them():
  with SharedStop(_mesh(), alone=False) as stop:
    assert not _is_due(stop)
    _terminate()
    # Nobody else knows yet.
    assert not stop.heard
    assert not _is_due(stop)
    assert _is_due(stop) and _is_due(stop)


def test_the_wish_of_one_device_is_enough():
  stop = SharedStop(_mesh(), alone=False)
  wishes = jax.device_put(jax.numpy.array([0, 0, 0, 1]), stop._split)
  total, step = stop._sum(wishes, jax.numpy.int32(7))
  assert total == 1 and step == 7


@pytest.mark.slow
def test_a_signal_to_either_of_two_stops_both_within_a_rollout(tmp_path):
  tiny_processes.write_model(tmp_path)
  # A rollout of 16 answers is two updates: the third answer of the second.
  fields = {"rollout.epochs": 1, "checkpoint.every_steps": 0}
  jobs = [
    Job("ppo", str(tmp_path / str(index)), fields, terminated=(index, 16 + 3))
    for index in range(2)
  ]
  said = tiny_processes.run(jobs, tmp_path, num_processes=2)
  assert said == [["preempted"] * 2] * 2
  for job in jobs:
    workdir = pathlib.Path(job.workdir)
    assert weights.checkpoint_steps(workdir) == [2]
    # A rollout that came to its end would be on disk.
    rollouts = sorted(path.name for path in (workdir / "rollouts").iterdir())
    assert rollouts == ["000000.jsonl"]
  # What was cut off is made from its start by who goes on.
  again = tiny_processes.run(
    [dataclasses.replace(jobs[0], terminated=None)], tmp_path, num_processes=2
  )
  assert again == [[""]] * 2
  assert weights.checkpoint_steps(tmp_path / "0") == [2, STEPS]


def test_a_handler_that_was_not_pythons_becomes_the_default():
  # JAX's own, for one: Python cannot name it, and so cannot put it back.
  before = signal.getsignal(signal.SIGTERM)
  try:
    with SharedStop(_mesh(), alone=True) as stop:
      stop._previous = None
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
  finally:
    signal.signal(signal.SIGTERM, before)
