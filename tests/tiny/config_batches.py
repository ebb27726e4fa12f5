# SPDX-License-Identifier: Apache-2.0
"""Abstract batches of the kind of rows that a config learns from."""

from typing import Any

import jax
import numpy as np

from ramjax.data import group_batches, group_rows
from ramjax.data.batches import TokenBatch
from ramjax.data.tokenize_groups import Group
from ramjax.trainers import online_batches, rollouts
from ramjax.trainers.rollout_batches import RolloutBatch

_ROW_LENGTH = 64
_ROWS = 4


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


def _groups(config: Any) -> list[Group]:
  """Two rows of the kind that `config.algorithm` and its loss want."""
  if config.algorithm == "preference":
    return 2 * [_group(2, margins=[0.0], preference_probs=[1.0])]
  if config.algorithm == "cut":
    return 2 * [_group(2, prompts=2, labels=[0.0])]
  if config.algorithm == "unpaired":
    group = _group(1, labels=[1.0])
    other = group._replace(prompts=(group.prompts[0][:-1],))
    groups = [group, other]
    if "kto" in config.loss.terms:
      groups = group_rows.with_mismatched(groups, groups, _ROW_LENGTH)
    return groups
  if "bradley_terry" in config.loss.terms:
    return 2 * [_group(2, margins=[0.0], preference_probs=[1.0])]
  if "plackett_luce" in config.loss.terms:
    return [_group(3), _group(2)]
  return 2 * [_group(1, targets=[1.0] * len(config.reward.attributes))]


def abstract_batch(config: Any) -> Any:
  """The shapes of a batch of `_ROWS` short rows, for `jax.eval_shape`."""
  if config.algorithm == "sft":
    zeros = np.zeros((_ROWS, _ROW_LENGTH), np.int32)
    mask = zeros.astype(bool)
    batch: Any = TokenBatch(zeros, mask, zeros, zeros)
  elif config.algorithm == "ppo":
    zeros = np.zeros((_ROWS, _ROW_LENGTH), np.int32)
    features = {
      name: zeros.astype(np.float32)
      for name in (*online_batches.FEATURES, "weights", "counts")
    }
    batch = RolloutBatch(
      tokens=zeros,
      response_mask=zeros.astype(bool),
      segment_ids=zeros,
      branch_ids=zeros if rollouts.shares_prompts(config) else None,
      positions=zeros,
      sample_ids=zeros,
      features=features,
    )
  else:
    (batch,) = group_batches.eval_batches(
      _groups(config),
      row_length=_ROW_LENGTH,
      share_prompt=config.data.share_prompt,
      batch_size=_ROWS,
      pack=config.data.pack,
    )
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
