# SPDX-License-Identifier: Apache-2.0
"""SIGTERM outside the train loop waits for a good place."""

import os
import signal

import pytest

from ramjax.trainers.sigterm import Sigterm, Stopped


def test_the_signal_is_noted_and_raised_where_it_is_asked_for():
  before = signal.getsignal(signal.SIGTERM)
  with Sigterm() as sigterm:
    sigterm.check()
    os.kill(os.getpid(), signal.SIGTERM)
    assert sigterm.received
    with pytest.raises(Stopped):
      sigterm.check()
  assert signal.getsignal(signal.SIGTERM) == before
