# SPDX-License-Identifier: Apache-2.0
"""Reward models: scores of answers, learned from pairs, rankings or ratings."""

import functools
import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from ramjax.data import parse_graded_rows, parse_rows
from ramjax.data.group_batches import GroupBatch
from ramjax.evals.response_scores import response_scores
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  benchmarks,
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
from ramjax.trainers.response_objective import ResponseTask, make_objective
from ramjax.trainers.step import Objective

# What a loss may ask for, by the kind of rows that have it.
PAIR_ARRAYS = ("chosen_scores", "rejected_scores", "margins")
RANKED_ARRAYS = ("scores", "present")
RATED_ARRAYS = ("scores", "targets")


class _Kind(NamedTuple):
  """What rows a loss learns from.

  Attributes:
    arrays: What a loss may ask for.
    parse: `(record, attributes=)` to a row.
  """

  arrays: tuple[str, ...]
  parse: Callable[..., Any]


def _without_attributes(parse: Callable[[Any], Any]) -> Callable[..., Any]:
  def parse_record(record: Any, *, attributes: tuple[str, ...]) -> Any:
    del attributes
    return parse(record)

  return parse_record


_KINDS = {
  "pairs": _Kind(PAIR_ARRAYS, _without_attributes(parse_rows.parse_preference)),
  "ranked": _Kind(
    RANKED_ARRAYS, _without_attributes(parse_graded_rows.parse_ranked)
  ),
  "rated": _Kind(RATED_ARRAYS, parse_graded_rows.parse_rated),
}


def make_reward_objective(
  config: LlamaConfig,
  *,
  terms: Mapping[str, Mapping[str, Any]],
  reference_config: LlamaConfig | None = None,
) -> Objective:
  """The objective of `losses/` terms on scores.

  Args:
    config: Of the model, with a score head.
    terms: `config.loss.terms`; what the rows are follows from the losses.
    reference_config: Not used: scores are compared with nothing.

  Raises:
    ValueError: What `loss_terms.load_terms` refuses, losses that learn from
      different rows, or a head of another size than they need.
  """
  del reference_config
  kind, loaded = _load_terms(terms)
  if kind != "rated" and config.num_labels != 1:
    raise ValueError(
      f"reward.num_labels={config.num_labels}: a loss on {kind} has one score"
      " an answer. Set reward.num_labels=1."
    )

  def arrays(params: Any, batch: GroupBatch, key: jax.Array) -> Arrays:
    del key
    scores = response_scores(params, config, batch)
    present = batch.features["present"] > 0
    # An absent answer was read at an arbitrary place.
    scores = jnp.where(present[..., None], scores, 0.0)
    if kind == "pairs":
      return {
        "chosen_scores": scores[:, :, 0, 0].reshape(-1),
        "rejected_scores": scores[:, :, 1, 0].reshape(-1),
        "margins": batch.features["margins"].reshape(-1),
      }
    if kind == "ranked":
      num_answers = present.shape[2]
      return {
        "scores": scores[..., 0].reshape(-1, num_answers),
        "present": present.reshape(-1, num_answers),
      }
    targets = batch.features["targets"]
    return {
      "scores": scores[:, :, 0].reshape(-1, config.num_labels),
      "targets": targets.reshape(-1, targets.shape[-1]),
    }

  def mask(arrays: Arrays, batch: GroupBatch, losses: jax.Array) -> jax.Array:
    if kind == "pairs":
      return pair_metrics.both_present(batch)
    present = batch.features["present"][:, :, 0].reshape(-1) > 0
    if kind == "ranked":
      return present
    rated = ~jnp.isnan(arrays["targets"])
    rated = rated & present[:, None]
    return rated if losses.ndim == 2 else rated[:, 0]

  def metrics(
    result: Any, arrays: Arrays, mask: jax.Array
  ) -> dict[str, WeightedMean]:
    if kind == "pairs":
      return pair_metrics.metrics(result, arrays, mask)
    if kind == "ranked":
      return _ranked_metrics(arrays, mask)
    # Of the first term, as the rewards of a sum are.
    predictions = loaded[0].predictions
    assert predictions is not None
    return _rated_metrics(arrays, mask, predictions)

  task = ResponseTask(
    arrays=arrays,
    mask=mask,
    metrics=metrics,
    outcomes=pair_metrics.outcomes if kind == "pairs" else lambda *_: {},
    at_reference=_blank,
  )
  return make_objective(task, loaded, reference_config=None, chunk_size=1)


def _load_terms(
  terms: Mapping[str, Mapping[str, Any]],
) -> tuple[str, tuple[loss_terms.Term, ...]]:
  """The kind of rows that serves every term, and the terms."""
  every = {name for kind in _KINDS.values() for name in kind.arrays}
  loaded = loss_terms.load_terms(terms, provided=every, algorithm="reward")
  wanted = {name for term in loaded for name in term.arrays}
  for name, kind in _KINDS.items():
    if wanted <= set(kind.arrays):
      return name, loaded
  raise ValueError(
    f"loss.terms {', '.join(terms)} learn from different rows (they need"
    f" {', '.join(sorted(wanted))}): train one model on one kind of them."
  )


def _blank(arrays: Arrays) -> Arrays:
  """The arrays where a head says the same, 0, of every answer."""
  return {
    name: jnp.zeros_like(value) if name.endswith("scores") else value
    for name, value in arrays.items()
  }


def _ranked_metrics(arrays: Arrays, mask: jax.Array) -> dict[str, WeightedMean]:
  """`rewards/accuracy` over all pairs of a ranking, and `rewards/best_first`."""
  scores, present = arrays["scores"], arrays["present"]
  above = jnp.triu(jnp.ones((scores.shape[1],) * 2, bool), 1)[None]
  both = present[:, :, None] & present[:, None, :] & above & mask[:, None, None]
  right = pair_metrics.is_right(scores[:, :, None] - scores[:, None, :])
  others = jnp.where(present, scores, -jnp.inf)[:, 1:]
  best = pair_metrics.is_right(scores[:, 0] - jnp.max(others, axis=1))
  return {
    "rewards/accuracy": WeightedMean.of(right, both),
    "rewards/best_first": WeightedMean.of(best, mask),
  }


def _rated_metrics(
  arrays: Arrays,
  mask: jax.Array,
  predictions: Callable[[jax.Array], jax.Array],
) -> dict[str, WeightedMean]:
  """`error`, the mean distance of a prediction from its rating."""
  predicted, targets = predictions(arrays["scores"]), arrays["targets"]
  mask = jnp.broadcast_to(mask.reshape(len(mask), -1), targets.shape)
  error = jnp.abs(predicted - jnp.where(mask, targets, 0.0))
  return {"error": WeightedMean.of(error, mask)}


def _check_attributes(
  config: ml_collections.ConfigDict,
  attributes: tuple[str, ...],
  terms: tuple[loss_terms.Term, ...],
) -> None:
  """Refuses numbers of ratings and outputs that do not go together.

  Raises:
    ValueError: Names both.
  """
  if not attributes:
    raise ValueError(
      "reward.attributes is empty: name the ratings to learn, by their key in"
      " the rows, such as ('helpfulness',)."
    )
  for term in terms:
    # `targets` of one column: a grade or class, with an output for each
    # threshold or class. Otherwise every rating has its output.
    targets = inspect.signature(term.function).parameters["targets"].annotation
    one_rating = targets.dim_str.split()[-1] == "1"
    if not one_rating and config.reward.num_labels != len(attributes):
      raise ValueError(
        f"reward.num_labels={config.reward.num_labels} and {len(attributes)}"
        f" reward.attributes: loss.terms.{term.name} has an output for each, so"
        f" set reward.num_labels={len(attributes)}."
      )
    if one_rating and len(attributes) != 1:
      raise ValueError(
        f"loss.terms.{term.name} learns one rating, and reward.attributes names"
        f" {len(attributes)}: {', '.join(attributes)}. Name one."
      )


def _load_data(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
) -> group_data.GroupData:
  kind, terms = _load_terms(config.loss.terms.to_dict())
  attributes = tuple(config.reward.attributes)
  if kind == "rated":
    _check_attributes(config, attributes, terms)
  return group_data.load_groups(
    config,
    workdir,
    vocab_size=vocab_size,
    parse=functools.partial(_KINDS[kind].parse, attributes=attributes),
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
  make_objective=make_reward_objective,
  make_evaluator=group_evaluator.GroupEvaluator,
  describe_source=group_data.describe_source,
  check_first_step=first_step.check_reward,
)
