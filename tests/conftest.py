# SPDX-License-Identifier: Apache-2.0
"""Every test runs on 8 simulated CPU devices, with JAX at its strictest."""

import gc
import os

import tiny_compile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " " + tiny_compile.quick(8)
)

import jax

# Tracing makes garbage without end, in a process that keeps every program, and
# Python would look through all of it again and again.
gc.set_threshold(100_000, 20, 50)
jax.config.update("jax_numpy_rank_promotion", "raise")
