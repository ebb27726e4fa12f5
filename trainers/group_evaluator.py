# SPDX-License-Identifier: Apache-2.0
"""Evaluation during training on answers: the run's own metrics, held out."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramjax.data import group_batches
from ramjax.evals.label_auc import label_auc
from ramjax.evals.pair_accuracy import pair_accuracy
from ramjax.evals.reference_kl import make_kl_step
from ramjax.models import sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers.group_data import GroupData
from ramjax.trainers.held_out_answers import HeldOutAnswers
from ramjax.trainers.state import TrainState
from ramjax.trainers.step import GATE_PREFIX, Objective


class GroupEvaluator:
  """The held-out rows of a run and how a model does on them.

  Loss and metrics come from the same functions as those of training rows.
  """

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    data: GroupData,
    mesh: Mesh,
    objective: Objective,
  ):
    """Batches the held-out rows and picks the prompts to answer.

    Args:
      config: Of the run: `data` and `evals` are read.
      model_config: Of the model.
      data: The run's rows; nothing is held out if `data.held_out` is empty.
      mesh: Where batches go.
      objective: Of the run.
    """
    self._batches = []
    self._subsets = data.held_out_subsets
    if data.held_out:
      self._batches = [
        sharding.place_batch(batch, mesh)
        for batch in group_batches.eval_batches(
          data.held_out,
          row_length=data.row_length,
          share_prompt=config.data.share_prompt,
          batch_size=config.data.batch_size // config.data.num_microbatches,
          pack=config.data.pack,
        )
      ]
    self._eval_step = _make_eval_step(objective, mesh)
    self._kl_step = None
    # With log-probabilities from disk there is no reference to run.
    if objective.reference_config is not None and not config.reference.cache:
      self._kl_step = make_kl_step(
        model_config,
        objective.reference_config,
        chunk_size=config.loss.chunk_size,
      )
    self._answers = None
    if not model_config.num_labels:
      self._answers = HeldOutAnswers(
        config,
        model_config,
        data.tokenizer,
        data.held_out_rows,
        data.held_out_records,
      )

  def evaluate(
    self, state: TrainState, step: int
  ) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    metrics = self._metrics(state) if self._batches else {}
    if self._answers is None:
      return metrics, []
    shares, samples = self._answers.evaluate(state.eval_params, step)
    return {**metrics, **shares}, samples

  def _metrics(self, state: TrainState) -> dict[str, float]:
    results = [
      self._eval_step(
        state.eval_params, state.all_reference, state.carried, batch, state.key
      )
      for batch in self._batches
    ]
    # One transfer, after all batches are queued.
    results = jax.device_get(results)
    sums: dict[str, np.ndarray] = {}
    for metrics, _ in results:
      for name, mean in metrics.items():
        pair = np.array([mean.total, mean.weight], np.float64)
        sums[name] = sums.get(name, np.zeros(2)) + pair
    found = {
      f"eval/{name}": float(total / weight) if weight else 0.0
      for name, (total, weight) in sums.items()
    }
    if self._kl_step is not None:
      means = [
        self._kl_step(state.eval_params, state.all_reference, batch)
        for batch in self._batches
      ]
      pairs = jax.device_get([(mean.total, mean.weight) for mean in means])
      total, weight = np.sum(np.asarray(pairs, np.float64), axis=0)
      found["eval/kl_per_token"] = float(total / weight)
    outcomes = _one_of_each([outcome for _, outcome in results])
    if "margin" in outcomes:
      subsets = [self._subsets[int(row)] for row in outcomes["row_ids"]]
      accuracy = pair_accuracy(outcomes["margin"], subsets)
      found |= {f"eval/rewards/{name}": v for name, v in accuracy.items()}
    if "label" in outcomes:
      found["eval/rewards/margin"] = (
        found["eval/rewards/desirable"] - found["eval/rewards/undesirable"]
      )
      auc = label_auc(outcomes["reward"], outcomes["label"])
      found |= {} if auc is None else {"eval/rewards/auc": auc}
    return found


def _one_of_each(
  outcomes: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
  """The outcomes of all batches, one of each row that counts, in row order."""
  joined = {
    name: np.concatenate([outcome[name] for outcome in outcomes])
    for name in outcomes[0]
  }
  mask = joined.pop("mask", None)
  if mask is not None:
    joined = {name: value[mask] for name, value in joined.items()}
  _, first = np.unique(joined["row_ids"], return_index=True)
  return {name: value[first] for name, value in joined.items()}


def _make_eval_step(objective: Objective, mesh: Mesh) -> Any:
  """A jitted `(params, reference, carried, batch, key)` to what was found."""
  evaluate = objective.evaluate
  assert evaluate is not None

  @jax.jit
  def eval_step(params, reference, carried, batch, key):
    if objective.prepare is not None:
      batch, _ = objective.prepare(params, reference, carried, batch, key, 1)
    loss, metrics, outcomes = evaluate(params, batch, key)
    metrics = {
      name: value
      for name, value in metrics.items()
      if not name.startswith(GATE_PREFIX)
    }
    # On every device, so that each process can read all of it.
    everywhere = NamedSharding(mesh, PartitionSpec())
    outcomes = jax.lax.with_sharding_constraint(outcomes, everywhere)
    return {"loss": loss, **metrics}, outcomes

  return eval_step
