# SPDX-License-Identifier: Apache-2.0
"""What the configs that unlearn repetition have in common: data only."""

from collections.abc import Mapping
from typing import Any

from ramjax.configs import base


def two_rounds(fit: Any, *, select: Mapping[str, Any]) -> Any:
  """The small Alpaca model, penalised for 3-grams that its answers repeat.

  Two rounds of 256 prompts and 10 updates.

  Args:
    fit: A tree of `base`, taken apart.
    select: As for `base.rounds`.
  """
  fit.init.from_run = "runs/alpaca"
  # The rows and the held-out ones of the run it starts from.
  fit.data.sources.alpaca = base.source("alpaca_data.json", eval_rows=500)
  fit.data.template = "alpaca"
  fit.data.max_length = 256
  fit.data.max_bad_share = 0.005
  # About 20 pairs, or 40 answers judged one by one, an update.
  fit.data.batch_size = 8
  fit.data.row_length = 512
  fit.optim.learning_rate = 1e-4
  fit.optim.warmup_steps = 3
  fit.run.total_steps = 10
  config = base.rounds(
    fit,
    select=select,
    rewards=dict(
      repetition=dict(weight=1.0, n=3),
      # Measured only: whether an answer still says what a person's does.
      f1=dict(weight=0.0, field="output"),
    ),
  )
  config.rounds.num_rounds = 2
  # A model that hardly repeats itself gives few pairs: the first stay.
  config.rounds.replay = 1
  config.rollout.prompts = 256
  config.rollout.max_new_tokens = 96
  # At 0.8 hardly an answer repeats itself, and greedy ones would all be alike.
  config.rollout.temperature = 0.5
  config.evals.num_prompts = 500
  config.evals.num_samples = 500
  config.evals.max_new_tokens = 96
  return config


def one_round(fit: Any, *, select: Mapping[str, Any]) -> Any:
  """As `two_rounds`, with all prompts and updates of those in one.

  Args:
    fit: A tree of `base`, taken apart.
    select: As for `base.rounds`.
  """
  config = two_rounds(fit, select=select)
  config.rounds.num_rounds = 1
  config.rollout.prompts = 512
  config.fit.run.total_steps = 20
  return config
