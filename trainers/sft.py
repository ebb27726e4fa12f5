# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning: the loss on a model, and the parts of a run."""

import pathlib
from collections.abc import Mapping
from typing import Any

import grain
import jax
import ml_collections

from ramjax.data import batches as batches_lib
from ramjax.data.batches import TokenBatch
from ramjax.evals.likelihood import likelihood, mean_logps_of
from ramjax.losses.sft import sft_loss
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import llama
from ramjax.models.config import LlamaConfig
from ramjax.trainers import benchmarks, first_step, loop, run
from ramjax.trainers import step as step_lib
from ramjax.trainers.algorithm import Algorithm
from ramjax.trainers.held_out import HeldOut
from ramjax.trainers.sft_data import SFTData, load_sft_data


def make_loss_fn(
  config: LlamaConfig, *, label_smoothing: float, z_loss: float, chunk_size: int
) -> step_lib.LossFn:
  """Builds `(params, batch, key) -> (WeightedMean, metrics)` for `TokenBatch`.

  Args:
    config: Of the model.
    label_smoothing: See `losses.sft.sft_loss`.
    z_loss: See `losses.sft.sft_loss`.
    chunk_size: See `losses.token_logps.token_logps`.

  Returns:
    The function; the weight of its loss is the number of supervised tokens,
    its metrics hold `nll`, the loss without smoothing and z-loss.

  Raises:
    ValueError: The model has a score head where the LM head should be.
  """
  run.require_language_model(config, "sft")

  def loss_fn(
    params: llama.Params, batch: TokenBatch, key: jax.Array
  ) -> tuple[WeightedMean, step_lib.Metrics]:
    del key  # Nothing random in SFT.
    scored = likelihood(params, config, batch, chunk_size=chunk_size)
    mean_logps = None
    if label_smoothing:
      mean_logps = mean_logps_of(scored)
    losses = sft_loss(
      token_logps=scored.logps,
      log_normalizers=scored.log_normalizers,
      mean_logps=mean_logps,
      label_smoothing=label_smoothing,
      z_loss=z_loss,
    )
    nll = WeightedMean.of(-scored.logps, scored.mask)
    return WeightedMean.of(losses, scored.mask), {"nll": nll}

  return loss_fn


def _make_objective(
  config: LlamaConfig, *, reference_config: LlamaConfig | None, **options: Any
) -> step_lib.Objective:
  del reference_config  # Nothing is compared.
  return step_lib.Objective(make_loss_fn(config, **options))


def main(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  runner: benchmarks.Runner | None = None,
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`."""
  return run.run(config, workdir, ALGORITHM, runner)


def _train_batches(
  config: ml_collections.ConfigDict, data: SFTData
) -> grain.DatasetIterator:
  """Endless batches, the same on every process."""
  return batches_lib.train_batches(
    data.train,
    weights=data.weights,
    length=config.data.max_length,
    batch_size=config.data.batch_size,
    pack=config.data.pack,
    seed=config.seed,
  )


def _count(batch: TokenBatch) -> loop.BatchCounts:
  return loop.BatchCounts(*batches_lib.count_tokens([batch]))


def _describe_source(counts: Mapping[str, Any]) -> str:
  return (
    f"{counts['rows_train']} rows to train on,"
    f" {counts['rows_held_out']} held out,"
    f" {counts['rows_quarantined']} quarantined,"
    f" {counts['rows_truncated']} + {counts['held_out_rows_truncated']}"
    f" truncated ({counts['tokens_truncated']} +"
    f" {counts['held_out_tokens_truncated']} tokens); to train on:"
    f" {counts['tokens']} tokens, {counts['supervised_tokens']} supervised"
  )


ALGORITHM = Algorithm(
  load_data=load_sft_data,
  train_batches=_train_batches,
  count_batch=_count,
  make_objective=_make_objective,
  make_evaluator=HeldOut,
  describe_source=_describe_source,
  check_first_step=lambda metrics, blank: first_step.check(metrics),
)
