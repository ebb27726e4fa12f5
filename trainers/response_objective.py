# SPDX-License-Identifier: Apache-2.0
"""From loss terms over answers to what a step minimises.

Shared by every algorithm whose batch is a `GroupBatch`: which arrays a loss can
ask for is the algorithm's; that reference log-probabilities and statistics of
the whole batch come first, without gradient, is the same for all.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ramjax.data.group_batches import GroupBatch
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.config import LlamaConfig
from ramjax.trainers import loss_terms
from ramjax.trainers.loss_terms import Arrays, Term
from ramjax.trainers.step import GATE_PREFIX, Objective, map_microbatches

# Names in `GroupBatch.features` that `prepare` adds.
REF_LOGPS = "ref_logps"
_SCALAR, _PER_EXAMPLE = "scalar", "per_example"


@dataclasses.dataclass(frozen=True)
class ResponseTask:
  """What an algorithm over answers brings.

  Attributes:
    arrays: `(params, batch, key)` to every array that a term may ask for; [N]
      over the groups of the batch, or [N, n].
    mask: `(arrays, batch, losses)` to which losses count, in their shape.
    metrics: `(result, arrays, mask)` to metrics; `result` is the first term's.
    outcomes: `(result, arrays, mask)` to arrays [N] for evaluation.
    at_reference: `(arrays)` to the same arrays as they are where the policy
      equals the reference (or a reward head says nothing), for the check of
      the first step; None where nothing is known of that.
  """

  arrays: Callable[[Any, GroupBatch, jax.Array], Arrays]
  mask: Callable[[Arrays, GroupBatch, jax.Array], jax.Array]
  metrics: Callable[[Any, Arrays, jax.Array], dict[str, WeightedMean]]
  outcomes: Callable[[Any, Arrays, jax.Array], Arrays]
  at_reference: Callable[[Arrays], Arrays] | None = None


def make_objective(
  task: ResponseTask,
  terms: tuple[Term, ...],
  *,
  reference_config: LlamaConfig | None,
  chunk_size: int,
) -> Objective:
  """Builds the objective of a task and its terms.

  Args:
    task: The algorithm's side.
    terms: From `loss_terms.load_terms`.
    reference_config: Of the reference model; None where no term has one.
    chunk_size: See `losses.token_logps.token_logps`.

  Returns:
    The objective; the weight of its loss is the number of losses that count.
  """

  def evaluate(
    params: Any, batch: GroupBatch, key: jax.Array
  ) -> tuple[WeightedMean, dict[str, WeightedMean], Arrays]:
    arrays = task.arrays(params, batch, key)
    statistics = _statistics_of(batch, terms)
    losses, result = loss_terms.weighted_losses(terms, arrays, statistics)
    mask = task.mask(arrays, batch, losses)
    metrics = task.metrics(result, arrays, mask)
    metrics[GATE_PREFIX + "non_finite"] = WeightedMean.of(
      (~jnp.isfinite(losses)).astype(jnp.float32), mask
    )
    if task.at_reference is not None:
      expected, _ = loss_terms.weighted_losses(
        terms, task.at_reference(arrays), statistics
      )
      metrics[GATE_PREFIX + "expected_loss"] = WeightedMean.of(expected, mask)
    outcomes = {
      **task.outcomes(result, arrays, mask),
      "row_ids": batch.features["row_ids"].reshape(-1),
    }
    loss = WeightedMean.of(losses, mask)
    return loss, jax.lax.stop_gradient(metrics), jax.lax.stop_gradient(outcomes)

  def loss_fn(params: Any, batch: GroupBatch, key: jax.Array) -> Any:
    loss, metrics, _ = evaluate(params, batch, key)
    return loss, metrics

  prepare = None
  if reference_config is not None or any(term.statistics for term in terms):
    prepare = _make_prepare(
      task, terms, reference_config=reference_config, chunk_size=chunk_size
    )
  return Objective(
    loss_fn=loss_fn,
    prepare=prepare,
    carried={
      _carried(term, name): value
      for term in terms
      for name, value in term.carried.items()
    },
    reference_config=reference_config,
    evaluate=evaluate,
  )


def _make_prepare(
  task: ResponseTask,
  terms: tuple[Term, ...],
  *,
  reference_config: LlamaConfig | None,
  chunk_size: int,
) -> Any:
  """`Objective.prepare`: the reference's side, then whole-batch statistics."""
  coupled = [term for term in terms if term.statistics is not None]
  wanted = {name for term in coupled for name in term.statistics_arrays}

  def prepare(
    params: Any,
    reference: Any,
    carried: Arrays,
    batch: GroupBatch,
    key: jax.Array,
    num_microbatches: int,
  ) -> tuple[GroupBatch, Arrays]:
    if reference_config is not None and REF_LOGPS not in batch.features:
      batch = _with_reference(
        batch,
        reference,
        reference_config,
        num_microbatches=num_microbatches,
        chunk_size=chunk_size,
      )
    if not coupled:
      return batch, carried
    num_groups = batch.features["present"].shape[1]

    def of_part(part: GroupBatch) -> Arrays:
      arrays = task.arrays(params, part, key)
      # By rows, so that microbatches can be put back together.
      return {name: arrays[name].reshape(-1, num_groups) for name in wanted}

    rows = map_microbatches(of_part, batch, num_microbatches)
    arrays = {name: value.reshape(-1) for name, value in rows.items()}
    arrays = jax.lax.stop_gradient(arrays)
    mask = batch.features["present"][:, :, 0].reshape(-1) > 0
    features, carried = dict(batch.features), dict(carried)
    for term in coupled:
      own = {name: carried[_carried(term, name)] for name in term.carried}
      found, kept = loss_terms.batch_statistics(term, arrays, mask, own)
      features |= _as_features(term, found, batch)
      carried |= {_carried(term, name): v for name, v in kept.items()}
    return batch._replace(features=features), carried

  return prepare


def needs_reference(terms: tuple[Term, ...]) -> bool:
  """Whether a term compares the policy with a reference."""
  return any(name.startswith("ref_") for term in terms for name in term.arrays)


def _with_reference(
  batch: GroupBatch,
  reference: Any,
  config: LlamaConfig,
  *,
  num_microbatches: int,
  chunk_size: int,
) -> GroupBatch:
  def of_part(part: GroupBatch) -> jax.Array:
    return response_likelihood(
      reference, config, part, chunk_size=chunk_size
    ).logps

  logps = map_microbatches(of_part, batch, num_microbatches)
  logps = jax.lax.stop_gradient(logps)
  return batch._replace(features={**batch.features, REF_LOGPS: logps})


def _carried(term: Term, name: str) -> str:
  return f"{term.name}/{name}"


def _as_features(
  term: Term, found: Mapping[str, jax.Array], batch: GroupBatch
) -> dict[str, jax.Array]:
  """Statistics as arrays [B, ...], which can be cut into microbatches."""
  num_rows, num_groups = batch.features["present"].shape[:2]
  features = {}
  for name, value in found.items():
    if value.ndim == 0:
      kind, value = _SCALAR, jnp.broadcast_to(value, (num_rows,))
    else:
      kind, value = _PER_EXAMPLE, value.reshape(num_rows, num_groups)
    features[f"{kind}/{term.name}/{name}"] = value
  return features


def _statistics_of(
  batch: GroupBatch, terms: tuple[Term, ...]
) -> dict[str, Arrays]:
  """The statistics that `prepare` left in the batch, by term."""
  found: dict[str, Arrays] = {term.name: {} for term in terms}
  for path, value in batch.features.items():
    kind, _, rest = path.partition("/")
    if kind not in (_SCALAR, _PER_EXAMPLE):
      continue
    term, _, name = rest.partition("/")
    # Every row holds the same scalar.
    found[term][name] = value[0] if kind == _SCALAR else value.reshape(-1)
  return found
