# SPDX-License-Identifier: Apache-2.0
"""Perplexity of supervised tokens: a model's, and a unigram baseline's."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from ramjax.evals.likelihood import likelihood
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.config import LlamaConfig


def make_eval_step(
  config: LlamaConfig, *, chunk_size: int
) -> Callable[[Any, Any], WeightedMean]:
  """A jitted `(params, batch) -> WeightedMean` of token NLL, in nats."""

  @jax.jit
  def eval_step(params: Any, batch: Any) -> WeightedMean:
    scored = likelihood(params, config, batch, chunk_size=chunk_size)
    return WeightedMean.of(-scored.logps, scored.mask)

  return eval_step


def perplexity(
  params: Any,
  batches: Iterable[Any],
  eval_step: Callable[[Any, Any], WeightedMean],
) -> dict[str, float]:
  """Mean NLL (nats per supervised token) and its exponential, over batches.

  Args:
    params: Of the model.
    batches: Device batches; every supervised token counts once.
    eval_step: From `make_eval_step`.

  Returns:
    `loss` and `perplexity`.
  """
  means = [eval_step(params, batch) for batch in batches]
  # Added on the host in float64: one transfer, after all batches are queued.
  pairs = jax.device_get([(mean.total, mean.weight) for mean in means])
  total, weight = np.sum(np.asarray(pairs, np.float64), axis=0)
  loss = float(total / weight)
  return {"loss": loss, "perplexity": _exp(loss)}


def unigram_perplexity(
  train_responses: Sequence[np.ndarray],
  eval_responses: Sequence[np.ndarray],
  *,
  vocab_size: int,
) -> float:
  """Perplexity of predicting each token by its frequency alone.

  What a model that ignores all context can reach; frequencies are counted on
  training tokens with one added to every count (Laplace).

  Args:
    train_responses: Supervised token ids of the training examples.
    eval_responses: Supervised token ids to score.
    vocab_size: V.

  Returns:
    exp of the mean NLL of `eval_responses`.
  """
  counts = 1 + np.bincount(
    np.concatenate(train_responses), minlength=vocab_size
  )
  logps = np.log(counts / counts.sum())
  scored = np.concatenate([logps[tokens] for tokens in eval_responses])
  return _exp(float(-scored.mean()))


def _exp(loss: float) -> float:
  """exp(loss); infinite instead of an overflow error."""
  return math.exp(loss) if loss < 700 else math.inf
