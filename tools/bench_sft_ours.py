# SPDX-License-Identifier: Apache-2.0
"""Our side of `ramjax bench sft`, one case in one process.

The step is the one that `ramjax train` runs: the same loss, optimizer, jitted
and donated train step, built from the same config.
"""

import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ramjax.data import batches as batches_lib
from ramjax.data.batches import TokenBatch
from ramjax.data.tokenize_rows import Example
from ramjax.models import llama, sharding
from ramjax.tools import bench_machine, bench_sft
from ramjax.tools.bench_cases import Report
from ramjax.trainers import from_config, initial_weights, sft
from ramjax.trainers import state as state_lib
from ramjax.trainers import step as step_lib

# Host batch and the same on the device.
NextBatch = Callable[[], tuple[TokenBatch, TokenBatch]]


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  import_bytes = bench_machine.peak_memory_bytes()
  spec_path, out_path = map(pathlib.Path, argv)
  spec = json.loads(spec_path.read_text())
  config = ConfigDict(spec["config"])
  if spec["batch"] == "weights":
    report = _save_weights(config, pathlib.Path(spec["folder"]))
  else:
    config.model.remat = spec["remat"]
    report = _measure(config, spec)
    report["import_bytes"] = import_bytes
  out_path.write_text(json.dumps(report))
  return 0


def _save_weights(config: ConfigDict, folder: pathlib.Path) -> Report:
  """The initial weights, as every case of ours makes them, for the peer."""
  model = initial_weights.make_model_config(config)
  params = llama.init_params(model, jax.random.key(config.seed))
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  named = {
    jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
    for path, leaf in leaves
  }
  np.savez(folder / "weights.npz", allow_pickle=False, **named)
  return {}


def _measure(config: ConfigDict, spec: Mapping[str, Any]) -> Report:
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  with jax.set_mesh(mesh):
    next_batch = (_raw if spec["batch"] == "raw" else _packed)(spec, mesh)
    state, train_step = _make_step(config, mesh)
    batch = next_batch()[1]
    start = time.perf_counter()
    compiled = train_step.lower(state, batch).compile()
    compile_s = time.perf_counter() - start
    step_s, seen, losses = _timed_steps(compiled, state, next_batch, spec)
  # None where nothing counts it, as on a CPU.
  memory = jax.devices()[0].memory_stats() or {"peak_bytes_in_use": 0}
  return dict(
    step_s=step_s,
    counts=count_batches(seen),
    losses=losses,
    compile_s=compile_s,
    peak_bytes=bench_machine.peak_memory_bytes(),
    device_peak_bytes=int(memory["peak_bytes_in_use"]),
    threads=bench_machine.usable_cores(),
    versions=bench_machine.versions(("jax", "jaxlib", "flax", "optax")),
  )


def _make_step(config: ConfigDict, mesh: jax.sharding.Mesh) -> tuple[Any, Any]:
  """State and step as `trainers.sft` makes them."""
  model = initial_weights.make_model_config(config)
  optimizer = from_config.make_optimizer(
    config, from_config.make_learning_rate(config)
  )
  params = llama.init_params(model, jax.random.key(config.seed), mesh)
  state = state_lib.init_state(
    params, optimizer, mesh=mesh, seed=config.seed, with_ema=False
  )
  loss_fn = sft.make_loss_fn(model, num_shards=1, **config.loss.to_dict())
  train_step = step_lib.make_train_step(
    loss_fn, optimizer, num_microbatches=config.data.num_microbatches
  )
  return state, train_step


def _packed(spec: Mapping[str, Any], mesh: jax.sharding.Mesh) -> NextBatch:
  """Batches as training makes them: shuffled, packed, put on the device."""
  config = ConfigDict(spec["config"])
  folder = pathlib.Path(spec["folder"])
  batches = batches_lib.train_batches(
    [bench_sft.load_examples(folder / "examples.npz")],
    weights=[1.0],
    length=config.data.max_length,
    batch_size=spec["rows"],
    pack=config.data.pack,
    seed=config.seed,
  )

  def next_batch() -> tuple[TokenBatch, TokenBatch]:
    batch = next(batches)
    return batch, sharding.place_batch(batch, mesh)

  return next_batch


def _raw(spec: Mapping[str, Any], mesh: jax.sharding.Mesh) -> NextBatch:
  """One padded batch, always the same, already on the device."""
  examples = bench_sft.load_examples(pathlib.Path(spec["folder"]) / "raw.npz")
  batch = padded_batch(examples, length=spec["raw_batch"][1])
  placed = sharding.place_batch(batch, mesh)
  return lambda: (batch, placed)


def padded_batch(examples: Sequence[Example], *, length: int) -> TokenBatch:
  """One example a row, padded at its end with <pad>, as TRL's collator does.

  Args:
    examples: Each at most `length` long.
    length: T.

  Returns:
    A batch of [len(examples), T].
  """
  shape = (len(examples), length)
  batch = TokenBatch(
    tokens=np.full(shape, bench_sft.PAD_ID, np.int32),
    response_mask=np.zeros(shape, bool),
    segment_ids=np.zeros(shape, np.int32),
    positions=np.tile(np.arange(length, dtype=np.int32), (len(examples), 1)),
  )
  for row, example in enumerate(examples):
    end = len(example.tokens)
    batch.tokens[row, :end] = example.tokens
    batch.response_mask[row, :end] = example.response_mask
    batch.segment_ids[row, :end] = 1
  return batch


def _timed_steps(
  step: Callable[[Any, Any], tuple[Any, step_lib.Metrics]],
  state: Any,
  next_batch: NextBatch,
  spec: Mapping[str, Any],
) -> tuple[list[float], list[TokenBatch], list[float]]:
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


def count_batches(batches: Sequence[TokenBatch]) -> dict[str, int]:
  """Sums over some batches, as `bench_cases.COUNTS` names them."""
  places, tokens, supervised = batches_lib.count_tokens(batches)
  pairs = 0
  for batch in batches:
    for row in batch.segment_ids:
      lengths = np.bincount(row)[1:]  # 0 is padding.
      pairs += int(np.sum(lengths * (lengths + 1) // 2))
  return dict(places=places, tokens=tokens, supervised=supervised, pairs=pairs)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
