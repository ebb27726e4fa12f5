# SPDX-License-Identifier: Apache-2.0
"""Iterative DPO (arXiv 2312.16682, section 3.3), tiny.

    ramjax train --config=configs/iterative_dpo_tiny.py \
        --workdir=runs/iterative_dpo

Each round samples 4 answers to its prompts from the newest model, pairs the
best with the worst, and trains that model with DPO against itself. Two rounds
of 10 updates from random weights on one CPU core or more, to see that it runs;
the reward is for a digit: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst", least_margin=0.0),
  )
  # Random weights hardly ever end an answer, and one cut off is never chosen.
  config.rounds.human_rows = "task_pairs:16?seed=1"
  return config
