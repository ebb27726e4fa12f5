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

# A compiled program keeps three memory maps or more. Linux lets a process have
# 65,530 (`vm.max_map_count`); XLA then says "Cannot allocate memory" and crashes,
# as it does late in all tests in one process.
_MANY_MAPS = 30_000
_MAPS = pathlib.Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
  """Forgets all compiled programs, between two modules, where there are a great many."""
  yield
  if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MANY_MAPS:
    jax.clear_caches()
