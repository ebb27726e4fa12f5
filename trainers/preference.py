# SPDX-License-Identifier: Apache-2.0
"""Preference optimisation on pairs: DPO and its family, Pairwise Cringe."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from ramjax.data.group_batches import GroupBatch
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.evals.response_tokens import next_answer
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  benchmarks,
  contrast,
  first_step,
  group_data,
  group_evaluator,
  loop,
  loss_terms,
  pair_metrics,
  run,
)
from ramjax.trainers.algorithm import Algorithm
from ramjax.trainers.loss_terms import Arrays
from ramjax.trainers.response_objective import (
  REF_LOGPS,
  ResponseTask,
  make_objective,
  needs_reference,
)
from ramjax.trainers.step import Objective

# What a loss may ask for by the names of its parameters.
ARRAYS = (
  "chosen_logps",
  "rejected_logps",
  "ref_chosen_logps",
  "ref_rejected_logps",
  "chosen_lengths",
  "rejected_lengths",
  "margins",
  "preference_probs",
  "rejected_gap_losses",
)


def make_preference_objective(
  config: LlamaConfig,
  *,
  terms: Mapping[str, Mapping[str, Any]],
  chunk_size: int,
  reference_config: LlamaConfig | None = None,
) -> Objective:
  """The objective of `losses/` terms on pairs.

  Args:
    config: Of the policy.
    terms: `config.loss.terms`.
    chunk_size: See `losses.token_logps.token_logps`.
    reference_config: Of the reference; None is the policy's.

  Raises:
    ValueError: What `loss_terms.load_terms` refuses; a model without LM head.
  """
  run.require_language_model(config, "preference")
  loaded = loss_terms.load_terms(terms, provided=ARRAYS, algorithm="preference")
  candidates = loss_terms.contrast_of(loaded)

  def arrays(params: Any, batch: GroupBatch, key: jax.Array) -> Arrays:
    scored = response_likelihood(params, config, batch, chunk_size=chunk_size)
    found = {
      **_sides("{}_logps", scored.logps),
      **_sides("{}_lengths", scored.lengths),
      "margins": batch.features["margins"].reshape(-1),
      "preference_probs": batch.features["preference_probs"].reshape(-1),
    }
    if REF_LOGPS in batch.features:
      found |= _sides("ref_{}_logps", batch.features[REF_LOGPS])
    if candidates:
      rejected = scored.tokens._replace(
        mask=scored.tokens.mask & _predicts_rejected(batch)
      )
      losses = contrast.response_gap_losses(
        rejected,
        batch,
        key,
        desirable_tokens=jnp.zeros(batch.tokens.shape, bool),
        chunk_size=chunk_size,
        **candidates,
      )
      found["rejected_gap_losses"] = losses[:, :, 1].reshape(-1)
    return found

  task = ResponseTask(
    arrays=arrays,
    mask=lambda arrays, batch, losses: pair_metrics.both_present(batch),
    metrics=pair_metrics.metrics,
    outcomes=pair_metrics.outcomes,
    at_reference=_at_reference if needs_reference(loaded) else None,
  )
  return make_objective(
    task,
    loaded,
    reference_config=(
      reference_config or config if needs_reference(loaded) else None
    ),
    chunk_size=chunk_size,
  )


def _sides(name: str, values: jax.Array) -> Arrays:
  """[B, G, 2] values as two arrays [B * G]."""
  return {
    name.format("chosen"): values[:, :, 0].reshape(-1),
    name.format("rejected"): values[:, :, 1].reshape(-1),
  }


def _predicts_rejected(batch: GroupBatch) -> jax.Array:
  """[B * T] bool: the next token is a rejected answer's, the second of two."""
  following = next_answer(batch)
  return (following.predicted & (following.answer == 1)).reshape(-1)


def _at_reference(arrays: Arrays) -> Arrays:
  return {
    **arrays,
    "chosen_logps": arrays["ref_chosen_logps"],
    "rejected_logps": arrays["ref_rejected_logps"],
  }


def main(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  runner: benchmarks.Runner | None = None,
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`."""
  return run.run(config, workdir, ALGORITHM, runner)


ALGORITHM = Algorithm(
  load_data=group_data.load_pairs,
  train_batches=group_data.train_batches,
  count_batch=group_data.count_batch,
  make_objective=make_preference_objective,
  make_evaluator=group_evaluator.GroupEvaluator,
  describe_source=group_data.describe_source,
  check_first_step=first_step.check_against_reference,
)
