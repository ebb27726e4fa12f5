# SPDX-License-Identifier: Apache-2.0
"""`ramjax train`: launches a run, with the benchmarks that its config names."""

from collections.abc import Sequence
from typing import Any

from ramjax.trainers import launch


def main(argv: Sequence[str]) -> int:
  """Runs a command line; returns the exit status."""
  return launch.main(argv, make_runner=_make_runner)


def _make_runner() -> Any:
  # Imports JAX, which `--help` can do without.
  from ramjax.tools import training_benchmarks

  return training_benchmarks.Runner()
