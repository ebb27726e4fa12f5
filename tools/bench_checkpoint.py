# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench checkpoint`: saving and restoring a state, against the disk.

The checkpoints are those of training: `trainers.checkpoints`, digests and all.
Weights and moments are random numbers: zeros would be compressed to nothing.
"""

import argparse
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ramjax.data import batches as batches_lib
from ramjax.data.tokenize_rows import Example
from ramjax.models import llama, presets, sharding
from ramjax.tools import (
  bench_calls,
  bench_machine,
  bench_output,
  bench_table,
  bench_training,
  new_folder,
)
from ramjax.tools.bench_output import Measured
from ramjax.trainers import optimizers, state_digest, state_items
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.state import TrainState, init_state

SIZES: Mapping[str, Mapping[str, int]] = {
  **bench_training.SIZES,
  "large": dict(
    vocab_size=32_768,
    width=1024,
    mlp_width=4096,
    num_layers=12,
    num_heads=16,
    num_kv_heads=8,
    head_dim=64,
  ),
}
# A checkpoint, the one before it, and the plain file.
_DISK_SHARE = 3.2
_FORMULA = (
  "Bytes are those of the arrays: weights and both moments, float32. GB/s ="
  " bytes / median. The loop is blocked until the state is copied; committed is"
  " from the same start until the checkpoint stands under its own name. Floors:"
  " one plain file of as many bytes, written and flushed to the disk, or read;"
  " and, of the digest, reading the bytes once at the peak of memory. Reads find"
  " files as the system has cached them."
)


_BLOCKED, _COMMITTED = "save, loop blocked", "save, committed"
_RESTORED, _DIGEST = "restore, digests checked", "digest alone"


def main(argv: Sequence[str]) -> int:
  """Measures and prints a table.

  Args:
    argv: The arguments behind `ramjax bench checkpoint`.

  Returns:
    The exit status: 0, or 1 if it cannot be measured.
  """
  args = _parser().parse_args(argv)
  return bench_output.run(("bench", "checkpoint"), argv, args, _measure)


def _measure(args: argparse.Namespace) -> Measured:
  if args.dir is not None and not args.dir.is_dir():
    raise FileNotFoundError(
      f"--dir={args.dir} is not a folder. Create it first."
    )
  machine = bench_machine.describe()
  size = bench_calls.size_here(args.size)
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  state = make_state(SIZES[size], mesh)
  num_bytes = state_bytes(state)
  with tempfile.TemporaryDirectory(
    prefix="ramjax-bench-", dir=args.dir
  ) as name:
    folder = pathlib.Path(name)
    new_folder.check_space(folder, int(_DISK_SHARE * num_bytes))
    peaks = bench_calls.find_peaks()
    disk = [bench_machine.disk_bytes_per_s(folder, num_bytes)]
    times = measure_state(state, folder, steps=args.steps, seconds=args.seconds)
    disk.append(bench_machine.disk_bytes_per_s(folder, num_bytes))
  write, read = map(max, zip(*disk, strict=True))
  floors = {
    _COMMITTED: num_bytes / write,
    _RESTORED: num_bytes / read,
    _DIGEST: num_bytes / peaks.bytes_per_s,
  }
  figures = {
    name: dict(bench_calls.figure(taken, floors.get(name)), bytes=num_bytes)
    for name, taken in times.items()
  }
  report = dict(
    bench_calls.report("checkpoint", size, machine, peaks.device, peaks.name),
    peaks=peaks._asdict(),
    formula=_FORMULA,
    bytes=num_bytes,
    disk_bytes_per_s=dict(write=write, read=read),
    figures=figures,
  )
  return Measured(report, _lines(report), size, bench_calls.headlines(figures))


def make_state(fields: Mapping[str, int], mesh: Mesh) -> TrainState:
  """A state of random weights and moments.

  Args:
    fields: Of the "tiny" preset that are replaced.
    mesh: Of one device.
  """
  model = presets.llama_config("tiny", **fields, dtype="float32")
  optimizer = optimizers.make_optimizer(
    "adamw",
    lambda _: 1e-4,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.1,
    clip_norm=1.0,
  )
  with jax.set_mesh(mesh):
    params = llama.init_params(model, jax.random.key(0), mesh)
    state = init_state(params, optimizer, mesh=mesh, seed=0, with_ema=False)

  def random(leaf: jax.Array) -> jax.Array:
    if not leaf.ndim:
      return leaf
    noise = jax.random.normal(jax.random.key(leaf.size), leaf.shape, leaf.dtype)
    return jax.device_put(noise, leaf.sharding)

  return dataclasses.replace(
    state, opt_state=jax.tree.map(random, state.opt_state)
  )


def state_bytes(state: TrainState) -> int:
  """Bytes of the arrays that a checkpoint holds."""
  return sum(leaf.nbytes for leaf in jax.tree.leaves(state_items.split(state)))


def measure_state(
  state: TrainState, folder: pathlib.Path, *, steps: int, seconds: float
) -> dict[str, list[float]]:
  """Saves a state, restores it and digests it, in turns.

  Args:
    state: Of one device.
    folder: Gets the checkpoints, of which one is kept.
    steps: See `bench_calls.time_in_turns`.
    seconds: The same.

  Returns:
    Seconds of each, by the names of figures.
  """
  batches = batches_lib.train_batches(
    [[Example(np.arange(8, dtype=np.int32), np.ones(8, bool), 0)]],
    weights=[1.0],
    length=8,
    batch_size=1,
    pack=False,
    seed=0,
  )
  checkpoints = Checkpoints(folder, keep=1, keep_every=0)
  progress = {"tokens": 0, "supervised_tokens": 0, "elapsed_s": 0.0}
  blocked = []

  def save() -> None:
    start = time.perf_counter()
    checkpoints.save(len(blocked) + 1, state, batches, progress)
    blocked.append(time.perf_counter() - start)
    checkpoints.wait()

  def restore() -> None:
    step = checkpoints.latest_step()
    assert step is not None  # One was just saved.
    jax.block_until_ready(checkpoints.restore(step, state, batches))

  def digest() -> None:
    state_digest.of_all(state_items.split(state))

  runs = {_COMMITTED: save, _RESTORED: restore, _DIGEST: digest}
  times = bench_calls.time_in_turns(runs, steps=steps, seconds=seconds)
  checkpoints.close()
  return {_BLOCKED: blocked[bench_calls.WARMUP :], **times}


def _lines(report: Mapping[str, Any]) -> list[str]:
  def rate(figure: Mapping[str, Any]) -> str:
    return bench_table.rounded(figure["bytes"] / figure["step_s_median"] / 1e9)

  disk = report["disk_bytes_per_s"]
  opening = [
    *bench_calls.introduction(report),
    f"size {report['size']}: a state of {report['bytes'] / 1e6:,.1f} MB; a plain"
    f" file of as many is written at {disk['write'] / 1e9:.2f} GB/s, flushed,"
    f" and read at {disk['read'] / 1e9:.2f}",
  ]
  return [
    *map(bench_table.wrapped, opening),
    "",
    *bench_calls.table(report["figures"], [("GB/s", rate)]),
    "",
    bench_table.wrapped(report["formula"]),
  ]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax bench checkpoint",
    description=(
      "Measure a checkpoint of weights and AdamW's moments, as training saves"
      " it: how long a save\nblocks the loop, when it is committed, how long a"
      " restore takes with every digest compared,\nand the digest alone; each"
      " beside a plain file of as many bytes on the same disk. Needs 3.2\ntimes"
      " the state as free disk.\n\nLeave the machine alone meanwhile."
    ),
    epilog=(
      "sizes (of the model; a state is 12 bytes a parameter):\n"
      "  tiny    0.9M parameters: to try things out\n"
      "  small   8.0M\n"
      "  large   222.3M\n\n"
      "example:\n  ramjax bench checkpoint --dir=runs --json=checkpoint.json"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--dir",
    type=pathlib.Path,
    metavar="FOLDER",
    help="on the disk that checkpoints will go to (default: the system's folder"
    " for temporary files)",
  )
  bench_calls.add_size(parser, SIZES)
  bench_calls.add_options(parser)
  bench_output.add_options(parser, also="every step's time, versions, formula")
  return parser
