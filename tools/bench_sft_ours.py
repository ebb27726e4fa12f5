# SPDX-License-Identifier: Apache-2.0
"""Our side of `ramjax bench sft`, one case in one process."""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from ramjax.data import batches as batches_lib
from ramjax.data.batches import TokenBatch
from ramjax.data.tokenize_rows import Example
from ramjax.models import sharding
from ramjax.tools import bench_ours, bench_sft, bench_training
from ramjax.tools.bench_cases import Report
from ramjax.tools.bench_ours import NextBatch
from ramjax.trainers import initial_weights, sft
from ramjax.trainers.step import Objective


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  return bench_ours.run_child(argv, _measure)


def _measure(config: ConfigDict, spec: Mapping[str, Any], mesh: Mesh) -> Report:
  if spec["batch"] == "weights":
    path = pathlib.Path(spec["folder"]) / "weights.npz"
    bench_ours.save_weights(config, path, mesh, seed=config.seed)
    return {}
  config.model.remat = spec["remat"]
  model = initial_weights.make_model_config(config)
  loss_fn = sft.make_loss_fn(model, **config.loss.to_dict())
  state, train_step = bench_ours.make_step(config, Objective(loss_fn), mesh)
  return bench_ours.measure_steps(
    train_step,
    state,
    (_raw if spec["batch"] == "raw" else _packed)(spec, mesh),
    spec,
    count=count_batches,
  )


def _packed(spec: Mapping[str, Any], mesh: Mesh) -> NextBatch:
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


def _raw(spec: Mapping[str, Any], mesh: Mesh) -> NextBatch:
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
    tokens=np.full(shape, bench_training.PAD_ID, np.int32),
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


def count_batches(batches: Sequence[TokenBatch]) -> dict[str, int]:
  """Sums over some batches, as `bench_cases.COUNTS` names them."""
  places, tokens, supervised = batches_lib.count_tokens(batches)
  pairs = 0
  for batch in batches:
    for row in batch.segment_ids:
      lengths = np.bincount(row)[1:]  # 0 is padding.
      pairs += int(np.sum(lengths * (lengths + 1) // 2))
  return dict(
    places=places,
    padding=places - tokens,
    tokens=tokens,
    supervised=supervised,
    pairs=pairs,
  )


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
