# SPDX-License-Identifier: Apache-2.0
"""Every test runs on 8 simulated CPU devices, with JAX at its strictest."""

import gc
import os

os.environ["JAX_PLATFORMS"] = "cpu"
# The tests compile thousands of tiny programs and run each once. Compiling takes
# half as long with little optimisation, and less than half of that again without
# MLIR's fusion emitters. Processes that the tests start (kill and resume)
# compile as users do.
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "")
  + " --xla_force_host_platform_device_count=8"
  + " --xla_backend_optimization_level=0"
  + " --xla_cpu_use_fusion_emitters=false"
)

import jax

# Tracing makes garbage without end, in a process that keeps every program, and
# Python would look through all of it again and again.
gc.set_threshold(100_000, 20, 50)
jax.config.update("jax_numpy_rank_promotion", "raise")
