# SPDX-License-Identifier: Apache-2.0
"""The shapes of a run's batches, without its data.

Groups of answers are laid out by the code that lays out real ones, from a few
tokens that stand for rows of the kind that the loss learns from.
"""

from typing import Any

import jax
import numpy as np

from ramjax.data import group_batches, group_rows
from ramjax.data.batches import TokenBatch
from ramjax.data.tokenize_groups import Group
from ramjax.trainers import online_batches, rollouts
from ramjax.trainers.response_objective import REF_LOGPS
from ramjax.trainers.rollout_batches import RolloutBatch


def abstract_batch(
  config: Any,
  *,
  num_rows: int | None = None,
  row_length: int | None = None,
) -> Any:
  """The global batch of one update, as `jax.ShapeDtypeStruct`s.

  An online run's answers are packed by what they come to be: this is its
  largest batch, in which every answer fills a row.

  Args:
    config: Of a run that is one fit, not of rounds.
    num_rows: B; None is the config's.
    row_length: T; None is the config's.

  Returns:
    A `TokenBatch`, `GroupBatch` or `RolloutBatch`.
  """
  rows: int = num_rows or config.data.batch_size
  length: int = row_length or config.data.max_length
  if config.algorithm == "sft":
    batch = _token_batch(rows, length)
  elif config.algorithm == "ppo":
    batch = _rollout_batch(config, rows, length)
  else:
    batch = _group_batch(config, rows, row_length)
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)


def _token_batch(num_rows: int, length: int) -> TokenBatch:
  zeros = np.zeros((num_rows, length), np.int32)
  return TokenBatch(zeros, zeros.astype(bool), zeros, zeros)


def _rollout_batch(config: Any, num_rows: int, length: int) -> RolloutBatch:
  zeros = np.zeros((num_rows, length), np.int32)
  names = (*online_batches.FEATURES, "weights", "counts")
  return RolloutBatch(
    tokens=zeros,
    response_mask=zeros.astype(bool),
    segment_ids=zeros,
    branch_ids=zeros if rollouts.shares_prompts(config) else None,
    positions=zeros,
    sample_ids=zeros,
    features={name: zeros.astype(np.float32) for name in names},
  )


def _group_batch(config: Any, num_rows: int, row_length: int | None) -> Any:
  longest = row_length or config.data.max_length
  groups = _groups(config, longest)
  num_answers = max(group.size for group in groups)
  length: int = (
    row_length or config.data.row_length or num_answers * config.data.max_length
  )
  # A row at a time, for the rows are all alike.
  batch = group_batches.eval_batches(
    groups,
    row_length=length,
    share_prompt=config.data.share_prompt,
    batch_size=1,
    pack=config.data.pack,
  )[0]
  if "reference" in config and config.reference.cache:
    present = batch.features["present"]
    batch.features[REF_LOGPS] = np.zeros_like(present)
  return jax.tree.map(
    lambda x: np.zeros((num_rows, *x.shape[1:]), x.dtype), batch
  )


def _groups(config: Any, longest: int) -> list[Group]:
  """Two rows of the kind that `config.algorithm` and its loss want."""
  terms = config.loss.terms
  if config.algorithm == "cut":
    return 2 * [_group(2, prompts=2, labels=[0.0])]
  if config.algorithm == "unpaired":
    group = _group(1, labels=[1.0])
    other = group._replace(prompts=(group.prompts[0][:-1],))
    groups = [group, other]
    if "kto" in terms:
      groups = group_rows.with_mismatched(groups, groups, longest)
    return groups
  if config.algorithm == "preference" or "bradley_terry" in terms:
    return 2 * [_group(2, margins=[0.0], preference_probs=[1.0])]
  if "plackett_luce" in terms:
    return [_group(3), _group(2)]
  return 2 * [_group(1, targets=[1.0] * len(config.reward.attributes))]


def _group(
  num_answers: int, *, prompts: int = 1, **features: list[float]
) -> Group:
  answers = [np.arange(1, 4 + k, dtype=np.int32) for k in range(num_answers)]
  if prompts > 1:
    answers = [answers[0]] * num_answers
  return Group(
    # Each different, as KTO wants them.
    prompts=tuple(
      np.arange(len(features) + k + 2, dtype=np.int32) for k in range(prompts)
    ),
    responses=tuple(answers),
    response_masks=tuple(np.ones(len(a), bool) for a in answers),
    features={k: np.asarray(v, np.float32) for k, v in features.items()},
    num_truncated=0,
  )
