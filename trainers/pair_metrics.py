# SPDX-License-Identifier: Apache-2.0
"""What is measured on pairs, the same on training and on held-out rows."""

from typing import Any

import jax
import jax.numpy as jnp

from ramjax.data.group_batches import GroupBatch
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.trainers.loss_terms import Arrays
from ramjax.trainers.step import GATE_PREFIX

# A margin of a pair that is exactly 0 is neither right nor wrong.
_TIE = 0.5


def both_present(batch: GroupBatch) -> jax.Array:
  """[B * G] bool: the group is a pair, not padding."""
  return (batch.features["present"].min(axis=2) > 0).reshape(-1)


def metrics(
  result: Any, arrays: Arrays, mask: jax.Array
) -> dict[str, WeightedMean]:
  """Means over the pairs of a batch.

  Args:
    result: A `losses.pairwise.PairwiseLoss`.
    arrays: [N] each; log-probabilities where the model has an LM head.
    mask: [N] bool, the pairs that count.

  Returns:
    `rewards/chosen`, `rewards/rejected`, `rewards/margin` (their difference),
    `rewards/accuracy` (share of pairs with a positive margin; a tie is half);
    `logps/chosen`, `logps/rejected` (nats an answer) and, with a reference,
    `log_ratios/chosen`, `log_ratios/rejected`: log pi - log pi_ref, nats an
    answer, which would estimate the divergence if the answers were the policy's.
  """
  margin = result.chosen_rewards - result.rejected_rewards
  values = {
    "rewards/chosen": result.chosen_rewards,
    "rewards/rejected": result.rejected_rewards,
    "rewards/margin": margin,
    "rewards/accuracy": is_right(margin),
  }
  for side in ("chosen", "rejected"):
    if f"{side}_logps" in arrays:
      values[f"logps/{side}"] = arrays[f"{side}_logps"]
    if f"ref_{side}_logps" in arrays:
      ratio = arrays[f"{side}_logps"] - arrays[f"ref_{side}_logps"]
      values[f"log_ratios/{side}"] = ratio
      values[f"{GATE_PREFIX}off_reference/{side}"] = jnp.abs(ratio)
  return {k: WeightedMean.of(value, mask) for k, value in values.items()}


def outcomes(result: Any, arrays: Arrays, mask: jax.Array) -> Arrays:
  """Of each pair: its margin, and whether it counts."""
  del arrays
  margin = result.chosen_rewards - result.rejected_rewards
  return {"margin": margin, "mask": mask}


def is_right(margin: jax.Array) -> jax.Array:
  """1 where the chosen answer has the higher reward, 0.5 for a tie, else 0."""
  return jnp.where(margin == 0, _TIE, (margin > 0).astype(jnp.float32))
