# SPDX-License-Identifier: Apache-2.0
"""The machine under a benchmark: its fastest matmul, copy and disk, its name.

A share of peak needs a peak. Data sheets leave out clocks, other tenants and
power caps, so the peak is what a plain matrix product reaches here and now, in
the same run, by each framework that is compared.
"""

import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Side of the square matrices; an accelerator needs larger ones to be busy.
_CPU_SIZES = (1024, 2048)
_ACCELERATOR_SIZES = (4096, 8192)
_REPEATS = 10
# What is copied to see how fast: more than the caches of a CPU hold.
_CPU_COPY_BYTES, _ACCELERATOR_COPY_BYTES = 256 * 2**20, 2**30
_DISK_BLOCK_BYTES = 2**24
_DISK_REPEATS = 3
# Share of the cores that others may use before the figures are called off.
_MOST_LOAD = 0.25


def compute_dtype(device: str) -> str:
  """What both sides compute in: "float32" on "cpu", "bfloat16" elsewhere."""
  return "float32" if device == "cpu" else "bfloat16"


def describe() -> dict[str, Any]:
  """CPU, cores, system, Python, and the load at this moment."""
  return {
    "cpu": cpu_model(),
    "cores": os.cpu_count(),
    "usable_cores": usable_cores(),
    "system": f"{platform.system()} {platform.release()}",
    "python": platform.python_version(),
    # Runnable threads, averaged over the last minute.
    "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
  }


def is_busy(machine: Mapping[str, Any]) -> bool:
  """Whether others had so much of the machine that no figure counts.

  Args:
    machine: From `describe`, before anything was measured.
  """
  return machine["load"] > _MOST_LOAD * machine["usable_cores"]


def warnings(machine: Mapping[str, Any]) -> list[str]:
  """What to say before the figures of a busy machine; none of another."""
  if not is_busy(machine):
    return []
  return [
    f"WARNING: the machine was busy at the start (load {machine['load']:.1f} on"
    f" {machine['usable_cores']} cores): no figure below can be trusted."
  ]


def device_name(device: str) -> str:
  """What figures are of: the processor and its cores, or the accelerator.

  Args:
    device: "cpu", "gpu" or "tpu", which JAX runs on.
  """
  if device == "cpu":
    return f"{cpu_model()}, {usable_cores()} cores"
  import jax

  return jax.devices()[0].device_kind


def cpu_model() -> str:
  """The processor's name, as the system gives it."""
  info = pathlib.Path("/proc/cpuinfo")
  if info.is_file():
    for line in info.read_text().splitlines():
      if line.startswith("model name"):
        return line.partition(":")[2].strip()
  return platform.processor() or platform.machine()


def usable_cores() -> int:
  """Cores that this process may run on."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def versions(names: Sequence[str]) -> dict[str, str]:
  """Versions of installed packages."""
  return {name: importlib.metadata.version(name) for name in names}


def peak_memory_bytes() -> int:
  """Most memory this process has had resident so far.

  Linux keeps the figure of `ru_maxrss` across exec, so a child would inherit
  its parent's; VmHWM starts anew.
  """
  status = pathlib.Path("/proc/self/status")
  if status.is_file():
    for line in status.read_text().splitlines():
      if line.startswith("VmHWM:"):
        return int(line.split()[1]) * 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else peak * 1024


def device_peak_bytes() -> int:
  """Most memory that JAX's device had in use; 0 where none counts it: a CPU."""
  import jax

  counted = jax.devices()[0].memory_stats() or {"peak_bytes_in_use": 0}
  return int(counted["peak_bytes_in_use"])


def matmul_ceiling(framework: str, device: str) -> dict[str, Any]:
  """The fastest square matrix product by one framework.

  Args:
    framework: "jax" or "torch".
    device: "cpu", "gpu" or "tpu"; "" takes JAX's default.

  Returns:
    `device`, `dtype`, `flops_per_s` by size of matrix, and the `best` of them.
  """
  if framework == "jax":
    import jax

    device = device or jax.default_backend()
    make = _jax_product
  else:
    make = _torch_product
  rates = {}
  sizes = _CPU_SIZES if device == "cpu" else _ACCELERATOR_SIZES
  for size in sizes:
    product = make(size, device)
    rates[str(size)] = 2 * size**3 / _fastest(product)
  return {
    "device": device,
    "dtype": compute_dtype(device),
    "flops_per_s": rates,
    "best": max(rates.values()),
  }


def _fastest(product: Callable[[], None]) -> float:
  """Seconds of the fastest of several runs, two to warm up not counted."""
  times = []
  for _ in range(_REPEATS + 2):
    start = time.perf_counter()
    product()
    times.append(time.perf_counter() - start)
  return min(times[2:])


def _jax_product(size: int, device: str) -> Callable[[], None]:
  import jax
  import jax.numpy as jnp

  dtype = compute_dtype(device)
  left, right = (
    jax.random.normal(key, (size, size), dtype)
    for key in jax.random.split(jax.random.key(0))
  )
  multiply = jax.jit(jnp.matmul)
  return lambda: jax.block_until_ready(multiply(left, right))


def _torch_product(size: int, device: str) -> Callable[[], None]:
  torch = importlib.import_module("torch")

  dtype = getattr(torch, compute_dtype(device))
  where = "cuda" if device == "gpu" else device
  left, right = (
    torch.randn(size, size).to(device=where, dtype=dtype) for _ in range(2)
  )

  def product() -> None:
    torch.matmul(left, right)
    if where == "cuda":
      torch.cuda.synchronize()

  return product


def copy_bytes_per_s(device: str) -> float:
  """The fastest copy of a large array by JAX; reads and writes both count."""
  import jax
  import jax.numpy as jnp

  size = _CPU_COPY_BYTES if device == "cpu" else _ACCELERATOR_COPY_BYTES
  held = [jnp.ones(size // 4, jnp.float32)]
  # In place: fresh memory would have to be cleared by the system first. And
  # not a plain copy, which XLA may leave out.
  add = jax.jit(lambda x: x + 1, donate_argnums=0)

  def run() -> None:
    held[0] = jax.block_until_ready(add(held[0]))

  return 2 * size / _fastest(run)


def disk_bytes_per_s(
  folder: pathlib.Path, num_bytes: int
) -> tuple[float, float]:
  """The fastest write, flushed to the disk, and read of one plain file.

  Args:
    folder: Where; the file is removed again.
    num_bytes: Of the file. What is read is what the system has cached of it.

  Returns:
    Bytes written and bytes read per second.
  """
  path = folder / "plain.bin"
  block = np.random.default_rng(0).bytes(_DISK_BLOCK_BYTES)
  buffer = bytearray(_DISK_BLOCK_BYTES)
  writes, reads = [], []
  for _ in range(_DISK_REPEATS):
    start = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
      for at in range(0, num_bytes, len(block)):
        file.write(block[: num_bytes - at])
      os.fsync(file.fileno())
    writes.append(time.perf_counter() - start)
    start = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
      while file.readinto(buffer):
        pass
    reads.append(time.perf_counter() - start)
    path.unlink()
  return num_bytes / min(writes), num_bytes / min(reads)


def main(argv: Sequence[str]) -> int:
  """Child process: measures the ceiling that SPEC asks for, into OUT."""
  spec_path, out_path = argv
  spec = json.loads(pathlib.Path(spec_path).read_text())
  ceiling = matmul_ceiling(spec["framework"], spec["device"])
  if spec["framework"] == "jax":
    ceiling["device_name"] = device_name(ceiling["device"])
  pathlib.Path(out_path).write_text(json.dumps(ceiling))
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
