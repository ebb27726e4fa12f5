# SPDX-License-Identifier: Apache-2.0
"""Best-of-n (AlpacaFarm, arXiv 2305.14387), tiny.

    ramjax train --config=configs/best_of_n_tiny.py --workdir=runs/best_of_n

One round without a fit: the best of 16 answers to each prompt is in
round_1/rows.jsonl, and rounds.jsonl compares it with the mean. Answers of
random weights on one CPU core or more, to see that it runs; the reward is for a
digit: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """Sampling and choosing, and no training."""
  config = round_sizes.tiny(base.sft(), select=dict(name="best"))
  config.rounds.num_rounds = 1
  config.rounds.fit = False
  config.rollout.group_size = 16
  return config
