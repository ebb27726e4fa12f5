# SPDX-License-Identifier: Apache-2.0
"""CUT: learns from a judge's words which tokens of an answer were wrong."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from ramjax.data import parse_graded_rows
from ramjax.data.group_batches import GroupBatch
from ramjax.evals import response_tokens
from ramjax.evals.likelihood import next_token_targets
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  benchmarks,
  first_step,
  group_data,
  group_evaluator,
  loop,
  loss_terms,
  run,
)
from ramjax.trainers.algorithm import Algorithm
from ramjax.trainers.loss_terms import Arrays
from ramjax.trainers.response_objective import ResponseTask, make_objective
from ramjax.trainers.step import Objective

# What a loss may ask for by the names of its parameters; [N] over the places of
# a batch.
ARRAYS = ("token_logps", "conditioned_token_logps", "flagged")


def make_cut_objective(
  config: LlamaConfig,
  *,
  terms: Mapping[str, Mapping[str, Any]],
  chunk_size: int,
  reference_config: LlamaConfig | None = None,
) -> Objective:
  """The objective of token losses on judged answers.

  A group is the answer after the prompt with the judgement, and the same answer
  after the plain prompt.

  Args:
    config: Of the policy.
    terms: `config.loss.terms`.
    chunk_size: See `losses.token_logps.token_logps`.
    reference_config: Not used: nothing is compared with a reference.

  Raises:
    ValueError: What `loss_terms.load_terms` refuses; a model without LM head.
  """
  del reference_config
  run.require_language_model(config, "cut")
  loaded = loss_terms.load_terms(terms, provided=ARRAYS, algorithm="cut")

  def arrays(params: Any, batch: GroupBatch, key: jax.Array) -> Arrays:
    del key
    scored = response_likelihood(params, config, batch, chunk_size=chunk_size)
    logps = scored.tokens.logps.reshape(batch.tokens.shape)
    undesirable = batch.features["labels"][:, :, 0] == 0
    flagged = response_tokens.tokens_of(undesirable, batch)
    return {
      "token_logps": logps.reshape(-1),
      "conditioned_token_logps": _of_conditioned(logps, batch).reshape(-1),
      "flagged": flagged.reshape(-1),
    }

  def mask(arrays: Arrays, batch: GroupBatch, losses: jax.Array) -> jax.Array:
    del arrays, losses
    return _predicts_plain(batch).reshape(-1)

  task = ResponseTask(
    arrays=arrays, mask=mask, metrics=_metrics, outcomes=lambda *_: {}
  )
  return make_objective(
    task, loaded, reference_config=None, chunk_size=chunk_size
  )


def _predicts_plain(batch: GroupBatch) -> jax.Array:
  """[B, T] bool: the next token is supervised, after the plain prompt."""
  _, supervised = next_token_targets(batch)
  following = response_tokens.next_answer(batch)
  return supervised & following.predicted & (following.answer == 1)


def _of_conditioned(logps: jax.Array, batch: GroupBatch) -> jax.Array:
  """[B, T]: at each token of the plain answer, its twin's log-probability.

  The two answers are the same tokens, so a token and its twin are as far apart
  as the beginnings of the answers.
  """
  first = response_tokens.first_places(batch)
  apart = response_tokens.tokens_of(first[:, :, 1] - first[:, :, 0], batch)
  length = logps.shape[1]
  twin = jnp.clip(jnp.arange(length)[None, :] - apart, 0, length - 1)
  return jnp.take_along_axis(logps, twin, axis=1)


def _metrics(
  result: jax.Array, arrays: Arrays, mask: jax.Array
) -> dict[str, WeightedMean]:
  """`nll` of the plain answers, `nll/conditioned`, and `flagged`, by token."""
  del result
  return {
    "nll": WeightedMean.of(-arrays["token_logps"], mask),
    "nll/conditioned": WeightedMean.of(
      -arrays["conditioned_token_logps"], mask & arrays["flagged"]
    ),
    "flagged": WeightedMean.of(arrays["flagged"].astype(jnp.float32), mask),
  }


def _load_data(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
) -> group_data.GroupData:
  return group_data.load_groups(
    config,
    workdir,
    vocab_size=vocab_size,
    parse=parse_graded_rows.parse_judged,
  )


def main(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  runner: benchmarks.Runner | None = None,
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`."""
  return run.run(config, workdir, ALGORITHM, runner)


ALGORITHM = Algorithm(
  load_data=_load_data,
  train_batches=group_data.train_batches,
  count_batch=group_data.count_batch,
  make_objective=make_cut_objective,
  make_evaluator=group_evaluator.GroupEvaluator,
  describe_source=group_data.describe_source,
  check_first_step=lambda metrics, blank: first_step.check_answers(metrics),
)
