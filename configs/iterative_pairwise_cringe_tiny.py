# SPDX-License-Identifier: Apache-2.0
"""Iterative Pairwise Cringe (Xu et al., arXiv 2312.16682), tiny.

    ramjax train --config=configs/iterative_pairwise_cringe_tiny.py \
        --workdir=runs/iterative_pairwise_cringe

Pairs of the best and the worst of 4 answers, beside generated ones that stand
for people's. Two rounds of 10 updates from random weights on one CPU core or
more, to see that it runs; the reward is for a digit: not yet run
"""

from ramjax.configs import answer_methods, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    answer_methods.pairwise_cringe(),
    select=dict(name="best_and_worst", least_margin=0.0),
  )
  config.rounds.human_rows = "task_pairs:32?seed=1"
  return config
