# SPDX-License-Identifier: Apache-2.0
"""A plan in words and as JSON."""

import dataclasses
import datetime
import importlib.util
from collections.abc import Sequence
from typing import Any

from ramjax.tools import bench_machine, hlo_collectives, plan_compile
from ramjax.tools.plan_compile import Compiled
from ramjax.tools.plan_search import Tried
from ramjax.tools.step_floors import SLOW_SHARE, Floors
from ramjax.tools.topologies import (
  DEFAULT_GPU_POOL_SHARE,
  GPU_POOL_SHARE,
  Topology,
)
from ramjax.trainers.abstract_run import AbstractRun

_GIB = 2**30
# Above, the runtime's own needs and fragmentation may not find room.
_TIGHT_SHARE = 0.92
_PACKAGES = ("ramjax", "jax", "jaxlib")


def report(
  run: AbstractRun, topology: Topology, compiled: Compiled, floors: Floors
) -> str:
  """What `ramjax plan` prints."""
  lines = [*_setting(run, topology), "", *_verdict(topology, compiled), ""]
  lines += _memory_table(compiled)
  if compiled.collectives:
    lines += ["", *_collective_table(compiled)]
  lines += ["", *_speed(run, topology, compiled, floors)]
  return "\n".join(lines)


def _setting(run: AbstractRun, topology: Topology) -> list[str]:
  config, model = run.config, run.model_config
  rows, length = run.batch.tokens.shape
  mesh = " ".join(f"{axis}={size}" for axis, size in run.mesh.shape.items())
  also = [
    f"a {name} of {shape.num_parameters / 1e9:.2f} B"
    for name, shape in (
      ("reference", run.reference_config),
      ("critic", run.critic_config),
    )
    if shape is not None
  ]
  slices = f", {topology.num_slices} slices" if topology.num_slices > 1 else ""
  pod = f" ({topology.accelerator_type})" if topology.accelerator_type else ""
  parts = config.data.num_microbatches
  lines = [
    f"{config.algorithm}, {model.num_parameters / 1e9:.2f} B parameters"
    + "".join(f" and {one}" for one in also)
    + f", on {topology.name}{pod}{slices}: {topology.num_devices} devices of"
    f" {topology.device.memory_bytes / _GIB:.2f} GiB",
    f"mesh {mesh}; {model.dtype}, remat {model.remat}, attention"
    f" {model.attention}; {rows} rows of {length:,} tokens an update, in"
    f" {parts} part{'s' if parts > 1 else ''}",
  ]
  lines += [
    f"{name} is not here: its shape is that of model.preset"
    for name in run.missing
  ]
  return lines


def _verdict(topology: Topology, compiled: Compiled) -> list[str]:
  limit = topology.device.memory_bytes
  if not compiled.fits:
    return [f"DOES NOT FIT: {compiled.reason}"]
  share = compiled.peak_bytes / limit
  tight = (
    f" Tight: leave {1 - _TIGHT_SHARE:.0%} for the runtime."
    if share > _TIGHT_SHARE
    else ""
  )
  lines = [
    f"FITS: a peak of {compiled.peak_bytes / _GIB:.2f} of"
    f" {limit / _GIB:.2f} GiB a device, {share:.0%}.{tight}"
  ]
  by_default = DEFAULT_GPU_POOL_SHARE / GPU_POOL_SHARE
  if topology.device.platform == "cuda" and share > _TIGHT_SHARE * by_default:
    lines.append(
      f"JAX takes {DEFAULT_GPU_POOL_SHARE:.0%} of a GPU, which is too little:"
      f" start the run with XLA_PYTHON_CLIENT_MEM_FRACTION={GPU_POOL_SHARE}."
    )
  return lines


def _memory_table(compiled: Compiled) -> list[str]:
  lines = [f"{'memory of a device':<32}{'GiB':>10}"]
  lines += [
    f"  {name:<30}{size / _GIB:>10.2f}"
    for name, size in compiled.memory.items()
  ]
  if compiled.fits:
    state = compiled.argument_bytes - compiled.memory.get("batch", 0.0)
    donated = compiled.donated_bytes
    lines.append(
      f"the state is written in place: {donated / _GIB:.2f} of"
      f" {state / _GIB:.2f} GiB"
      + ("" if donated >= 0.99 * state else "  NOT ALL OF IT")
    )
  return lines


def _collective_table(compiled: Compiled) -> list[str]:
  lines = [f"{'collectives of a step':<32}{'count':>10}{'GB sent':>12}"]
  for c in compiled.collectives:
    # What the norm of a gradient or a count needs is no matter.
    if c.bytes >= 1e6:
      mark = "" if c.certain else "  at least"
      lines.append(f"  {c.name:<30}{c.count:>10,}{c.bytes / 1e9:>12.2f}{mark}")
  return lines


def _speed(
  run: AbstractRun, topology: Topology, compiled: Compiled, floors: Floors
) -> list[str]:
  again = ""
  if floors.hardware_flops > floors.model_flops:
    again = f", {floors.hardware_flops / 1e15:.3g} with what is computed again"
  host = ""
  if floors.host_s:
    host = f"; waiting for the host, at half of it, {floors.host_s:.3g} s"
  lines = [
    f"arithmetic: {floors.model_flops / 1e15:.3g} PFLOP a step{again}",
    f"floors at peak: arithmetic {floors.compute_s:.3g} s, memory"
    f" {floors.memory_s:.3g} s, network {floors.network_s:.3g} s{host}",
  ]
  if compiled.fits:
    steps = run.config.run.total_steps
    fast, slow = floors.fastest_s, floors.slowest_s
    peak = topology.num_devices * topology.device.flops_per_s
    chip_hours = [s * steps * topology.num_chips / 3600 for s in (fast, slow)]
    lines += [
      f"expected: {fast:.3g} to {slow:.3g} s a step,"
      f" {floors.tokens / slow:,.0f} to {floors.tokens / fast:,.0f} tokens/s"
      f" ({floors.tokens / slow / topology.num_chips:,.0f} to"
      f" {floors.tokens / fast / topology.num_chips:,.0f} a chip), MFU"
      f" {floors.model_flops / slow / peak:.0%} to"
      f" {floors.model_flops / fast / peak:.0%}",
      f"the run: {steps:,} steps, {_hours(fast * steps)} to"
      f" {_hours(slow * steps)}, {chip_hours[0]:,.1f} to"
      f" {chip_hours[1]:,.1f} chip-hours, without evaluation and checkpoints",
    ]
  lines.append(
    f"Compiled in {compiled.compile_s:.0f} s; nothing was run. The range: from"
    " the largest floor to the sum of all, with matmuls at"
    f" {SLOW_SHARE:.0%} of their peak; every place of the batch a supervised"
    " token."
  )
  return lines


def _hours(seconds: float) -> str:
  return str(datetime.timedelta(seconds=round(seconds)))


def search_table(tried: Sequence[Tried]) -> str:
  """All that a search compiled, and what came of it."""
  width = max(len(one.overrides) for one in tried)
  lines = [f"{'':<{width}}{'peak GiB':>10}{'s a step':>24}"]
  for one in tried:
    peak = f"{one.compiled.peak_bytes / _GIB:.2f}"
    said = (
      f"{one.floors.fastest_s:.3g} to {one.floors.slowest_s:.3g}"
      if one.compiled.fits
      else "does not fit"
    )
    lines.append(f"{one.overrides:<{width}}{peak:>10}{said:>24}")
  return "\n".join(lines)


def as_json(
  run: AbstractRun, topology: Topology, compiled: Compiled, floors: Floors
) -> dict[str, Any]:
  """All figures of a plan."""
  rows, length = run.batch.tokens.shape
  model = run.model_config
  compilers = [
    name
    for name in ("libtpu", *plan_compile.CUDA_PLUGINS)
    if importlib.util.find_spec(name)
  ]
  return {
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "versions": bench_machine.versions((*_PACKAGES, *compilers)),
    "algorithm": run.config.algorithm,
    "num_parameters": model.num_parameters,
    "topology": dataclasses.asdict(topology),
    "mesh": dict(run.mesh.shape),
    "rows": rows,
    "row_length": length,
    "num_microbatches": run.config.data.num_microbatches,
    "remat": model.remat,
    "attention": model.attention,
    "missing": list(run.missing),
    "fits": compiled.fits,
    "reason": compiled.reason,
    "peak_bytes": compiled.peak_bytes,
    "donated_bytes": compiled.donated_bytes,
    "memory_bytes": dict(compiled.memory),
    "compile_s": compiled.compile_s,
    "collectives": hlo_collectives.as_json(compiled.collectives),
    "floors": dataclasses.asdict(floors),
    "total_steps": run.config.run.total_steps,
  }
