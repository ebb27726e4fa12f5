# SPDX-License-Identifier: Apache-2.0
"""What the shipped configs in rounds of one size have in common: data only."""

from collections.abc import Mapping
from typing import Any

from ramjax.configs import base, sizes


def tiny(
  fit: Any,
  *,
  select: Mapping[str, Any],
  rewards: Mapping[str, Mapping[str, Any]] | None = None,
) -> Any:
  """Two rounds of 10 updates from random weights: it runs, and no more.

  Args:
    fit: A tree of `base`, taken apart.
    select: As for `base.rounds`.
    rewards: The same; None rewards a digit.
  """
  fit = sizes.tiny(fit)
  fit.optim.warmup_steps = 2
  fit.run.total_steps = 10
  if rewards is None:
    rewards = dict(pattern=dict(weight=1.0, **sizes.DIGIT))
  config = base.rounds(fit, select=select, rewards=rewards)
  config.rollout.prompts = 16
  config.rollout.group_size = 4
  config.rollout.max_new_tokens = 16
  config.rollout.num_slots = 16
  config.evals.num_prompts = 8
  config.evals.max_new_tokens = 16
  return config


def llama3_8b(fit: Any, *, select: Mapping[str, Any]) -> Any:
  """Llama 3 8B on prompts of your own, scored by a reward model's run.

  AlpacaFarm's sizes (arXiv 2305.14387 and its authors' code) where they apply:
  10,000 prompts a round, 512 tokens, and answers of at most 300.

  Args:
    fit: A tree of `base`, taken apart.
    select: As for `base.rounds`.
  """
  fit = sizes.llama3_8b(fit)
  fit.data.sources.main = base.source("prompts.jsonl", eval_rows=256)
  fit.data.max_length = 512
  fit.checkpoint.every_steps = 100
  config = base.rounds(fit, select=select, rewards={})
  config.reward_model.from_run = "runs/reward"
  config.rollout.prompts = 10_000
  config.rollout.max_new_tokens = 300
  config.rollout.num_slots = 256
  config.evals.num_prompts = 256
  config.evals.max_new_tokens = 300
  return config
