# SPDX-License-Identifier: Apache-2.0
"""Every test runs on 8 simulated CPU devices, with JAX at its strictest."""

import gc
import os
import pathlib
from collections.abc import Iterator

import tiny_compile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " " + tiny_compile.quick(8)
)

import jax
import pytest

# Tracing makes garbage without end, in a process that keeps every program, and
# Python would look through all of it again and again.
gc.set_threshold(100_000, 20, 50)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Each program that XLA compiles takes some ten memory maps. Linux lets a process
# have 65,530, and XLA does not survive the next: all tests in one process came
# to it at 6,500 programs.
_MANY_MAPS = 30_000
_MAPS = pathlib.Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
  """Forgets all compiled programs, between two modules, where there are a great many."""
  yield
  if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MANY_MAPS:
    jax.clear_caches()
