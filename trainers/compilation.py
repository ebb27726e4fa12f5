# SPDX-License-Identifier: Apache-2.0
"""How a run's programs are compiled, and where they are kept, by platform."""

import pathlib
from typing import Any

import jax

# The least at which XLA moves collectives behind matmuls on a GPU.
GPU_LEVEL = "O1"


def configure(folder: str) -> None:
  """Sets JAX up for training; before anything is compiled.

  On a GPU, XLA moves collectives behind matmuls at optimisation level O1 and
  above (openxla.org/xla/effort_levels); a level that the user chose stays. A
  TPU's compiler does so at any level.

  Args:
    folder: Keeps compiled programs between launches; "" keeps none. See
      `_can_be_read_back` for where none are kept in any case.
  """
  chosen: Any = jax.config
  if jax.default_backend() == "gpu":
    if chosen.jax_optimization_level == "UNKNOWN":
      jax.config.update("jax_optimization_level", GPU_LEVEL)
  if folder and _can_be_read_back():
    path = pathlib.Path(folder).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(path))
    # Tiny models compile in seconds and are launched most often.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _can_be_read_back() -> bool:
  """Whether a program that was kept runs as one that was compiled.

  What XLA writes of a CPU program orders the collectives within a loop's body,
  and not those with the ones around the loop
  (`ThunkSequenceSerDesProtobuf::FromProto` makes a communicator for each
  sequence): read back, two devices meet at different collectives, wait for each
  other, and XLA aborts after 40 seconds.
  """
  return jax.default_backend() != "cpu" or jax.device_count() == 1
