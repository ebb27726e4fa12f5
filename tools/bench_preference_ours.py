# SPDX-License-Identifier: Apache-2.0
"""Our side of `ramjax bench preference`, one case in one process."""

import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from ramjax.data import group_batches
from ramjax.data.group_batches import GroupBatch
from ramjax.data.tokenize_groups import Group
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.models import sharding
from ramjax.tools import bench_ours, bench_preference_pairs
from ramjax.tools.bench_cases import Report
from ramjax.tools.bench_ours import NextBatch
from ramjax.trainers import initial_weights
from ramjax.trainers.preference import make_preference_objective
from ramjax.trainers.response_objective import REF_LOGPS


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  return bench_ours.run_child(argv, _measure)


def _measure(config: ConfigDict, spec: Mapping[str, Any], mesh: Mesh) -> Report:
  folder = pathlib.Path(spec["folder"])
  match spec["batch"]:
    case "weights":
      for name, seed in (
        ("weights.npz", config.seed),
        ("raw_reference.npz", spec["raw_reference_seed"]),
      ):
        bench_ours.save_weights(config, folder / name, mesh, seed=seed)
      return {}
    case "reference":
      return _cache_reference(config, spec, mesh)
    case _:
      return _train(config, spec, mesh)


def _cache_reference(
  config: ConfigDict, spec: Mapping[str, Any], mesh: Mesh
) -> Report:
  """The reference's log-probabilities of every pair, into a file."""
  folder = pathlib.Path(spec["folder"])
  pairs = bench_preference_pairs.load(folder / "pairs.npz")
  params = bench_ours.init_params(config, mesh, seed=config.seed)
  model = initial_weights.make_model_config(config)

  @jax.jit
  def logps_of(params: Any, batch: GroupBatch) -> jax.Array:
    scored = response_likelihood(
      params, model, batch, chunk_size=config.loss.chunk_size
    )
    return scored.logps

  start = time.perf_counter()
  found = np.zeros((len(pairs), 2), np.float32)
  for batch in group_batches.eval_batches(
    pairs,
    row_length=spec["row_length"],
    share_prompt=True,
    batch_size=spec["rows"],
    pack=True,
  ):
    logps = jax.device_get(logps_of(params, sharding.place_batch(batch, mesh)))
    numbers, real = _pair_numbers(batch)
    found[numbers] = logps[real]
  seconds = time.perf_counter() - start
  np.save(folder / "reference_logps.npy", found, allow_pickle=False)
  return dict(seconds=seconds, pairs=len(pairs))


def _train(config: ConfigDict, spec: Mapping[str, Any], mesh: Mesh) -> Report:
  raw, cached = spec["batch"] == "raw", spec["cached"]
  folder = pathlib.Path(spec["folder"])
  pairs = bench_preference_pairs.load(
    folder / ("raw.npz" if raw else "pairs.npz")
  )
  if cached:
    logps = np.load(folder / "reference_logps.npy", allow_pickle=False)
    pairs = [
      pair._replace(features={**pair.features, REF_LOGPS: of_pair})
      for pair, of_pair in zip(pairs, logps, strict=True)
    ]
  objective = make_preference_objective(
    initial_weights.make_model_config(config),
    terms=config.loss.terms.to_dict(),
    chunk_size=config.loss.chunk_size,
  )
  reference_seed = spec["raw_reference_seed"] if raw else config.seed
  state, train_step = bench_ours.make_step(
    config,
    objective,
    mesh,
    reference=(
      None
      if cached
      else bench_ours.init_params(config, mesh, seed=reference_seed)
    ),
  )
  return bench_ours.measure_steps(
    train_step,
    state,
    (_raw if raw else _shuffled)(config, spec, pairs, mesh),
    spec,
    count=lambda seen: count_batches(seen, pairs),
  )


def _shuffled(
  config: ConfigDict,
  spec: Mapping[str, Any],
  pairs: Sequence[Group],
  mesh: Mesh,
) -> NextBatch:
  """Batches as training makes them: shuffled, put on the device."""
  batches = group_batches.train_batches(
    [pairs],
    weights=[1.0],
    row_length=spec["row_length"],
    share_prompt=spec["share_prompt"],
    batch_size=spec["rows"],
    pack=spec["pack"],
    seed=config.seed,
  )

  def next_batch() -> tuple[GroupBatch, GroupBatch]:
    batch = next(batches)
    if spec["every_token"]:
      batch = with_every_token(batch)
    return batch, sharding.place_batch(batch, mesh)

  return next_batch


def _raw(
  config: ConfigDict,
  spec: Mapping[str, Any],
  pairs: Sequence[Group],
  mesh: Mesh,
) -> NextBatch:
  """One batch, always the same, already on the device; a pair is a row."""
  del config
  (batch,) = group_batches.eval_batches(
    pairs,
    row_length=spec["row_length"],
    share_prompt=False,
    batch_size=len(pairs),
    pack=False,
  )
  placed = sharding.place_batch(batch, mesh)
  return lambda: (batch, placed)


def with_every_token(batch: GroupBatch) -> GroupBatch:
  """The batch with all of its places put through the LM head, prompt and all.

  The loss stays the same: what belongs to no answer is added to none.
  """
  return batch._replace(
    response_mask=np.ones_like(batch.response_mask),
    response_ids=np.where(batch.response_mask, batch.response_ids, 0),
  )


def _pair_numbers(batch: GroupBatch) -> tuple[np.ndarray, np.ndarray]:
  """The number of each pair in a batch, and where it is, [B, G] bool."""
  real = batch.features["present"][:, :, 0] > 0
  return batch.features["row_ids"][:, :, 0][real].astype(np.int64), real


def count_batches(
  batches: Sequence[GroupBatch], pairs: Sequence[Group]
) -> dict[str, int]:
  """Sums over some batches, as `bench_cases.COUNTS` names them.

  Args:
    batches: Host batches.
    pairs: All, by their number in the batches. What counts is the pair: its
      prompt once for each answer, wherever it is computed once for both.
  """
  counts = dict(places=0, padding=0, tokens=0, supervised=0, pairs=0)
  for batch in batches:
    counts["places"] += batch.tokens.size
    counts["padding"] += int(np.count_nonzero(batch.segment_ids == 0))
    for number in _pair_numbers(batch)[0]:
      pair = pairs[number]
      counts["tokens"] += pair.num_tokens
      counts["supervised"] += sum(map(len, pair.responses))
      for response in pair.responses:
        length = len(pair.prompts[0]) + len(response)
        counts["pairs"] += length * (length + 1) // 2
  return counts


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
