# SPDX-License-Identifier: Apache-2.0
"""A config whose steps wait: `sft_quickstart`, held in the middle of the run.

    RAMJAX_TEST_HOLD=FILE ramjax train --config=tests/tiny/tiny_held.py ...

Steps of a tiny model take milliseconds: whoever watches the log of a run for its
seventh, to stop it then, may see the last one, too. A config is a program, and
this one has a process of the run that FILE names by its number, as in "0 1", wait
before step 15 until SIGTERM comes to it, or FILE is gone.
"""

import os
import pathlib
import time

import jax

from ramjax.configs import sft_quickstart
from ramjax.trainers import shared_stop

HOLD = "RAMJAX_TEST_HOLD"

# The log comes a step behind: it tells 13 steps of a run that is held.
_LAST_STEP = 14
_FILE = pathlib.Path(os.environ.get(HOLD, "no such file"))
_passed = shared_stop.SharedStop.passed


def get_config():
  """The config of `sft_quickstart`."""
  shared_stop.SharedStop.passed = _held_then_passed
  return sft_quickstart.get_config()


def _held_then_passed(self, state):
  if _holds_this_process() and int(state.step) == _LAST_STEP:
    while _holds_this_process() and not self.received:
      time.sleep(0.01)
  return _passed(self, state)


def _holds_this_process():
  try:
    return str(jax.process_index()) in _FILE.read_text().split()
  except FileNotFoundError:
    return False
