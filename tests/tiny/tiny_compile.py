# SPDX-License-Identifier: Apache-2.0
"""How tests have XLA compile: thousands of tiny programs, each run once.

Imports no JAX at first, which reads the flags once.
"""

import contextlib
import importlib.metadata
import pathlib
from collections.abc import Iterator

# The first: half the time to compile. The second: a tenth less, on cores that
# other tests keep busy. Without MLIR's fusion emitters it is less than half of
# that; XLA has no other way to emit from jaxlib 0.12 on, and stops at a flag
# that it does not know.
_QUICK = (
  "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)
# Of the lock files: what exactly XLA makes of a program is known of it alone.
IS_PINNED_XLA = importlib.metadata.version("jaxlib").startswith("0.10.")
if IS_PINNED_XLA:
  _QUICK += " --xla_cpu_use_fusion_emitters=false"


def quick(num_devices: int = 1) -> str:
  """`XLA_FLAGS` for a process with so many simulated CPU devices."""
  return f"--xla_force_host_platform_device_count={num_devices} {_QUICK}"


@contextlib.contextmanager
def programs_kept(folder: pathlib.Path) -> Iterator[None]:
  """Compiled programs are kept in `folder`, as between a user's launches.

  For programs on one device: see `trainers.compilation` for those on several.
  """
  import jax
  from jax.experimental.compilation_cache import compilation_cache

  names = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )
  before = {name: getattr(jax.config, name) for name in names}
  for name, value in zip(names, (str(folder), 0), strict=True):
    jax.config.update(name, value)
  # JAX opens a cache once, and keeps it whatever the fields say later.
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
