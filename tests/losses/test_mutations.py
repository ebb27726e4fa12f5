# SPDX-License-Identifier: Apache-2.0
"""Every small change of a loss turns a test red (tools/mutate.py)."""

import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
# Ten minutes and more on two cores, for one file: run by hand, with
# `python -m ramjax.tools.mutate losses/token_logps.py --tests tests/losses
# --equivalent tests/losses/equivalent_mutants.txt`.
_BY_HAND = {"losses/token_logps.py"}
_MODULES = sorted(
  path.relative_to(_ROOT).as_posix()
  for path in (_ROOT / "losses").glob("*.py")
  if path.stem != "__init__"
)


@pytest.mark.slow
@pytest.mark.parametrize(
  "module", [module for module in _MODULES if module not in _BY_HAND]
)
def test_no_change_of_a_loss_survives_its_tests(module):
  done = subprocess.run(
    [
      *(sys.executable, "-m", "ramjax.tools.mutate", module),
      *("--tests", "tests/losses"),
      *("--equivalent", "tests/losses/equivalent_mutants.txt"),
    ],
    cwd=_ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
