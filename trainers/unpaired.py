# SPDX-License-Identifier: Apache-2.0
"""Answers judged one by one: KTO, BCO, binary Cringe, unlikelihood."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from ramjax.data import group_rows, parse_rows
from ramjax.data.group_batches import GroupBatch
from ramjax.data.rows import PreferenceRow, UnpairedRow
from ramjax.data.tokenize_groups import Group
from ramjax.evals.response_likelihood import (
  ResponseLikelihood,
  response_likelihood,
)
from ramjax.evals.response_tokens import sum_by_response, tokens_of
from ramjax.losses.unlikelihood import token_unlikelihoods
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  benchmarks,
  contrast,
  first_step,
  group_data,
  group_evaluator,
  loop,
  loss_terms,
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
from ramjax.trainers.step import GATE_PREFIX, Objective

# What a loss may ask for by the names of its parameters. `kl_*` are those of an
# answer to another prompt.
ARRAYS = (
  *("logps", "ref_logps", "lengths", "labels", "unlikelihoods", "gap_losses"),
  *("kl_logps", "ref_kl_logps"),
)


def make_unpaired_objective(
  config: LlamaConfig,
  *,
  terms: Mapping[str, Mapping[str, Any]],
  chunk_size: int,
  reference_config: LlamaConfig | None = None,
) -> Objective:
  """The objective of `losses/` terms on answers with a label.

  Args:
    config: Of the policy.
    terms: `config.loss.terms`.
    chunk_size: See `losses.token_logps.token_logps`.
    reference_config: Of the reference; None is the policy's.

  Raises:
    ValueError: What `loss_terms.load_terms` refuses; a model without LM head.
  """
  run.require_language_model(config, "unpaired")
  loaded = _load_terms(terms)
  names = {name for term in loaded for name in term.arrays}
  candidates = loss_terms.contrast_of(loaded)

  def arrays(params: Any, batch: GroupBatch, key: jax.Array) -> Arrays:
    scored = response_likelihood(params, config, batch, chunk_size=chunk_size)
    labels = batch.features["labels"][:, :, 0] > 0
    found = {
      "logps": _own(scored.logps),
      "lengths": _own(scored.lengths),
      "labels": labels.reshape(-1),
    }
    if REF_LOGPS in batch.features:
      found["ref_logps"] = _own(batch.features[REF_LOGPS])
    if "kl_logps" in names:
      found["kl_logps"] = scored.logps[:, :, 1].reshape(-1)
      found["ref_kl_logps"] = batch.features[REF_LOGPS][:, :, 1].reshape(-1)
    if "unlikelihoods" in names:
      found["unlikelihoods"] = _own(_unlikelihoods(scored, batch))
    if candidates:
      desirable = tokens_of(labels, batch)
      losses = contrast.response_gap_losses(
        scored.tokens,
        batch,
        key,
        desirable_tokens=desirable,
        chunk_size=chunk_size,
        **candidates,
      )
      found["gap_losses"] = _own(losses)
    return found

  task = ResponseTask(
    arrays=arrays,
    mask=lambda arrays, batch, losses: _present(batch),
    metrics=_metrics,
    outcomes=lambda result, arrays, mask: {
      "reward": result.rewards,
      "label": arrays["labels"],
      "mask": mask,
    },
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


def _load_terms(
  terms: Mapping[str, Mapping[str, Any]],
) -> tuple[loss_terms.Term, ...]:
  return loss_terms.load_terms(terms, provided=ARRAYS, algorithm="unpaired")


def _own(values: jax.Array) -> jax.Array:
  """[B, G, K] values of each group's own answer, the first, as [B * G]."""
  return values[:, :, 0].reshape(-1)


def _present(batch: GroupBatch) -> jax.Array:
  return _own(batch.features["present"]) > 0


def _unlikelihoods(scored: ResponseLikelihood, batch: GroupBatch) -> jax.Array:
  values = token_unlikelihoods(scored.tokens.logps)
  return sum_by_response(values, scored.tokens.mask, batch)


def _at_reference(arrays: Arrays) -> Arrays:
  found = {**arrays, "logps": arrays["ref_logps"]}
  if "ref_kl_logps" in arrays:
    found["kl_logps"] = arrays["ref_kl_logps"]
  return found


def _metrics(
  result: Any, arrays: Arrays, mask: jax.Array
) -> dict[str, WeightedMean]:
  """Means over the desirable and over the undesirable answers of a batch.

  Args:
    result: A `losses.unpaired.UnpairedLoss`.
    arrays: [N] each.
    mask: [N] bool, the answers that count.

  Returns:
    `rewards/desirable`, `rewards/undesirable`, `logps/...` of both (nats an
    answer) and, with a reference, `log_ratios/...`: log pi - log pi_ref. Further
    `labels/desirable`, the share of desirable answers.
  """
  labels = arrays["labels"]
  found = {
    "labels/desirable": WeightedMean.of(labels.astype(jnp.float32), mask)
  }
  for name, side in (("desirable", labels), ("undesirable", ~labels)):
    chosen = mask & side
    found[f"rewards/{name}"] = WeightedMean.of(result.rewards, chosen)
    found[f"logps/{name}"] = WeightedMean.of(arrays["logps"], chosen)
    if "ref_logps" in arrays:
      ratio = arrays["logps"] - arrays["ref_logps"]
      found[f"log_ratios/{name}"] = WeightedMean.of(ratio, chosen)
      found[f"{GATE_PREFIX}off_reference/{name}"] = WeightedMean.of(
        jnp.abs(ratio), chosen
      )
  return found


def _parse(record: object) -> UnpairedRow | PreferenceRow:
  """A labelled answer, or a pair, which is one of each label."""
  if isinstance(record, Mapping) and "chosen" in record:
    return parse_rows.parse_preference(record)
  return parse_rows.parse_unpaired(record)


def _expand(row: UnpairedRow | PreferenceRow) -> Sequence[UnpairedRow]:
  if isinstance(row, UnpairedRow):
    return [row]
  return [
    UnpairedRow(row.prompt, row.chosen, True),
    UnpairedRow(row.prompt, row.rejected, False),
  ]


def _load_data(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
) -> group_data.GroupData:
  terms = _load_terms(config.loss.terms.to_dict())
  needs_other = any("kl_logps" in term.arrays for term in terms)

  def finish(groups: list[Group], pool: list[Group]) -> list[Group]:
    if not needs_other:
      return groups
    return group_rows.with_mismatched(groups, pool, config.data.max_length)

  return group_data.load_groups(
    config,
    workdir,
    vocab_size=vocab_size,
    parse=_parse,
    expand=_expand,
    finish=finish,
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
  make_objective=make_unpaired_objective,
  make_evaluator=group_evaluator.GroupEvaluator,
  describe_source=group_data.describe_source,
  check_first_step=first_step.check_against_reference,
)
