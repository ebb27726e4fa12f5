# SPDX-License-Identifier: Apache-2.0
"""A signal stops every process after the same call.

Two real processes: `test_lost_hosts.py`. Here one stands for several, with
several devices.
"""

import os
import signal

import jax
import optax
import pytest

from ramjax.models import sharding
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
    stop.check()
    assert not _is_due(stop)
    assert _is_due(stop) and _is_due(stop)
    stop.check()


def test_the_wish_of_one_device_is_enough():
  stop = SharedStop(_mesh(), alone=False)
  wishes = jax.device_put(jax.numpy.array([0, 0, 0, 1]), stop._split)
  total, step = stop._sum(wishes, jax.numpy.int32(7))
  assert total == 1 and step == 7


def test_a_handler_that_was_not_pythons_becomes_the_default():
  # JAX's own, for one: Python cannot name it, and so cannot put it back.
  before = signal.getsignal(signal.SIGTERM)
  try:
    with SharedStop(_mesh(), alone=True) as stop:
      stop._previous = None
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
  finally:
    signal.signal(signal.SIGTERM, before)
