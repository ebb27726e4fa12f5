# SPDX-License-Identifier: Apache-2.0
"""Our side of the benchmarks of training: one case in one process.

The step is the one that `ramjax train` runs: the same objective, optimizer,
jitted and donated train step, built from the same config.
"""

import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from ramjax.models import llama, sharding
from ramjax.tools import bench_machine
from ramjax.tools.bench_cases import Report
from ramjax.trainers import from_config, initial_weights
from ramjax.trainers import state as state_lib
from ramjax.trainers import step as step_lib
from ramjax.trainers.state import TrainState
from ramjax.trainers.step import Objective

# Host batch and the same on the device.
NextBatch = Callable[[], tuple[Any, Any]]
TrainStep = Callable[[TrainState, Any], tuple[TrainState, step_lib.Metrics]]


def run_child(
  argv: Sequence[str],
  measure: Callable[[ConfigDict, Mapping[str, Any], Mesh], Report],
) -> int:
  """Child process: measures the case in SPEC, into OUT.

  Args:
    argv: The two paths.
    measure: From `spec["config"]`, the spec and the mesh, which is set, to the
      report.

  Returns:
    The exit status.
  """
  import_bytes = bench_machine.peak_memory_bytes()
  spec_path, out_path = map(pathlib.Path, argv)
  spec = json.loads(spec_path.read_text())
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  with jax.set_mesh(mesh):
    report = measure(ConfigDict(spec["config"]), spec, mesh)
  report["import_bytes"] = import_bytes
  out_path.write_text(json.dumps(report))
  return 0


def save_weights(
  config: ConfigDict, path: pathlib.Path, mesh: Mesh, *, seed: int
) -> None:
  """The initial weights of a seed, as cases of ours make them, for the peer."""
  params = init_params(config, mesh, seed=seed)
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  named = {
    jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
    for path, leaf in leaves
  }
  np.savez(path, allow_pickle=False, **named)


def init_params(config: ConfigDict, mesh: Mesh, *, seed: int) -> llama.Params:
  """Random weights of the config's model, on the mesh."""
  model = initial_weights.make_model_config(config)
  return llama.init_params(model, jax.random.key(seed), mesh)


def make_step(
  config: ConfigDict,
  objective: Objective,
  mesh: Mesh,
  *,
  reference: Any = None,
) -> tuple[TrainState, TrainStep]:
  """State and step as a run makes them.

  Args:
    config: Of the run.
    objective: What the step minimises.
    mesh: Of one device.
    reference: Parameters of a reference model; None is none.
  """
  optimizer = from_config.make_optimizer(
    config, from_config.make_learning_rate(config)
  )
  state = state_lib.init_state(
    init_params(config, mesh, seed=config.seed),
    optimizer,
    mesh=mesh,
    seed=config.seed,
    with_ema=False,
    reference=reference,
  )
  train_step = step_lib.make_train_step(
    objective, optimizer, num_microbatches=config.data.num_microbatches
  )
  return state, train_step


def measure_steps(
  train_step: Any,
  state: TrainState,
  next_batch: NextBatch,
  spec: Mapping[str, Any],
  *,
  count: Callable[[Sequence[Any]], dict[str, int]],
) -> Report:
  """Compiles the step and runs it.

  Args:
    train_step: Jitted.
    state: The first; donated.
    next_batch: Gives host and device batch.
    spec: Of the case.
    count: From the host batches of the measured steps to their `COUNTS`.

  Returns:
    The report, without `import_bytes`.
  """
  batch = next_batch()[1]
  start = time.perf_counter()
  compiled = train_step.lower(state, batch).compile()
  compile_s = time.perf_counter() - start
  step_s, seen, losses = _timed_steps(compiled, state, next_batch, spec)
  return dict(
    step_s=step_s,
    counts=count(seen),
    losses=losses,
    compile_s=compile_s,
    peak_bytes=bench_machine.peak_memory_bytes(),
    device_peak_bytes=bench_machine.device_peak_bytes(),
    threads=bench_machine.usable_cores(),
    versions=bench_machine.versions(("jax", "jaxlib", "flax", "optax")),
  )


def _timed_steps(
  step: TrainStep,
  state: TrainState,
  next_batch: NextBatch,
  spec: Mapping[str, Any],
) -> tuple[list[float], list[Any], list[float]]:
  """Steps after the warm-up: their seconds, batches, and the first losses.

  A step's time includes getting its batch and waiting for its result.
  """
  times, seen, losses = [], [], []
  for _ in range(spec["warmup"] + spec["steps"]):
    start = time.perf_counter()
    host_batch, batch = next_batch()
    state, metrics = step(state, batch)
    jax.block_until_ready((state.step, metrics))
    times.append(time.perf_counter() - start)
    seen.append(host_batch)
    if len(losses) < spec["losses"]:
      losses.append(float(metrics["loss"].value))
    if sum(times[spec["warmup"] :]) > spec["seconds"]:
      break
  return times[spec["warmup"] :], seen[spec["warmup"] :], losses
