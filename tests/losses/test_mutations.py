# SPDX-License-Identifier: Apache-2.0
"""No small change of these modules goes unnoticed (tools/mutate.py)."""

import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
# What every loss rests on, and the loss of SFT. The other losses, 13 changes and
# up each, are checked by hand when they change, with `python -m
# ramjax.tools.mutate losses/dpo.py --tests tests/losses --equivalent
# tests/losses/equivalent_mutants.txt`: minutes a file, ten and more for
# `token_logps.py` and `token_gaps.py`.
_MODULES = ("sft", "shapes", "weighted_mean")


@pytest.mark.slow
@pytest.mark.parametrize("module", _MODULES)
def test_no_change_of_it_survives_its_tests(module):
  done = subprocess.run(
    [
      *(sys.executable, "-m", "ramjax.tools.mutate", f"losses/{module}.py"),
      *("--tests", f"tests/losses/test_{module}.py"),
      *("--equivalent", "tests/losses/equivalent_mutants.txt"),
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
