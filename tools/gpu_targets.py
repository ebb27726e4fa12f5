# SPDX-License-Identifier: Apache-2.0
"""What XLA has to know of a GPU to compile for it where there is none.

The figures are NVIDIA's: the data sheets, the limits of compute capability 9.0
in the CUDA programming guide's table, and what the driver reports of memory,
caches and clocks, as openxla/xla collected it (`target_config/specs`).
"""

from collections.abc import Mapping
from typing import Any

from ramjax.tools.topologies import Topology


class _Word(str):
  """Stands without quotes: a truth value, a member of an enumeration."""


# The cuDNN that JAX 0.10's CUDA plug-in is built against, at least.
_CUDNN = (9, 10, 0)
_CUDA = "12.8.0"
_HOPPER: Mapping[str, Any] = dict(
  # Of a block of threads.
  threads_per_block_limit=1024,
  thread_dim_limit_x=1024,
  thread_dim_limit_y=1024,
  thread_dim_limit_z=64,
  block_dim_limit_x=2**31 - 1,
  block_dim_limit_y=2**16 - 1,
  block_dim_limit_z=2**16 - 1,
  shared_memory_per_block=48 * 2**10,
  shared_memory_per_block_optin=227 * 2**10,
  registers_per_block_limit=2**16,
  # Of a multiprocessor, of which the SXM boards have 132.
  threads_per_warp=32,
  threads_per_core_limit=2048,
  shared_memory_per_core=228 * 2**10,
  registers_per_core_limit=2**16,
  fpus_per_core=128,
  core_count=132,
  # Of the whole.
  l2_cache_size=50 * 2**20,
  clock_rate_ghz=1.98,
  device_address_bits=64,
  pcie_bandwidth=32 * 2**30,
  ecc_enabled=_Word("true"),
  # 9.0a: with the instructions that later generations do not have.
  cuda_compute_capability=dict(
    major=9, minor=0, feature_extension=_Word("ACCELERATED_FEATURES")
  ),
  device_vendor="NVIDIA Corporation",
  driver_version="13.0.0",
  runtime_version=_CUDA,
  compile_time_toolkit_version=_CUDA,
  dnn_version=".".join(map(str, _CUDNN)),
)
_GPUS: Mapping[str, Mapping[str, Any]] = {
  "h100": dict(
    _HOPPER,
    name="NVIDIA H100 80GB HBM3",
    device_memory_size=84_942_979_072,
    memory_bandwidth=3_352_320_000_000,
  ),
  "h200": dict(
    _HOPPER,
    name="NVIDIA H200",
    device_memory_size=151_397_597_184,
    memory_bandwidth=4_800_000_000_000,
  ),
}


def target_config(topology: Topology) -> str:
  """XLA's `GpuTargetConfigProto` of a topology's GPUs, as text.

  Raises:
    ValueError: None is known of them.
  """
  if topology.generation not in _GPUS:
    raise ValueError(
      f"--topology={topology.name}: GPUs that can be compiled for without one"
      f" are {', '.join(_GPUS)}."
    )
  gpu = _GPUS[topology.generation]
  major, minor, patch = _CUDNN
  return "\n".join(
    _lines(
      dict(
        platform_name="CUDA",
        device_description_str=gpu["name"],
        dnn_version_info=dict(major=major, minor=minor, patch=patch),
        gpu_device_info=gpu,
      )
    )
  )


def _lines(message: Mapping[str, Any]) -> list[str]:
  """A message in protocol buffers' text format, a field a line."""
  lines = []
  for name, value in message.items():
    if isinstance(value, Mapping):
      lines += [f"{name} {{", *_lines(value), "}"]
    elif isinstance(value, str) and not isinstance(value, _Word):
      lines.append(f'{name}: "{value}"')
    else:
      lines.append(f"{name}: {value}")
  return lines
