# SPDX-License-Identifier: Apache-2.0
"""Every test runs on 8 simulated CPU devices, with JAX at its strictest."""

import gc
import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Little optimisation: the tests compile hundreds of tiny programs and run each
# once, and compiling takes half as long so. Processes that the tests start
# (kill and resume) compile as users do.
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "")
  + " --xla_force_host_platform_device_count=8"
  + " --xla_backend_optimization_level=0"
)

import jax
import pytest

# Tracing makes garbage without end, in a process that keeps every program, and
# Python would look through all of it again and again.
gc.set_threshold(100_000, 20, 50)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config: pytest.Config) -> None:
  """Keeps compiled programs in `.pytest_cache`, for all workers and later runs.

  Tests compile the same small programs again and again: a first run takes a
  fifth less processor time so, and a second one half.
  """
  cache = getattr(config, "cache", None)
  if cache is None:  # -p no:cacheprovider
    return
  jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("xla")))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.25)
  # With a limit JAX locks the folder, and never reads what another worker has
  # half written. It then looks at every file for each that it adds: those that
  # compile in less are not worth it.
  jax.config.update("jax_compilation_cache_max_size", 2**30)
