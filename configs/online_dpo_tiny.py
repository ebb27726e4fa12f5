# SPDX-License-Identifier: Apache-2.0
"""Online DPO (Guo et al., arXiv 2402.04792), tiny.

    ramjax train --config=configs/online_dpo_tiny.py --workdir=runs/online_dpo

Few prompts in many rounds: the policy that samples is one round of 4 updates
old at most. The paper's is one update old, and the reference stays the first
model, as here. 5 rounds of 4 updates from random weights on one CPU core or
more, to see that it runs; the reward is for a digit: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst", least_margin=0.0),
  )
  config.rounds.num_rounds = 5
  config.rounds.reference = "first"
  config.fit.run.total_steps = 4
  # Random weights hardly ever end an answer, and one cut off is never chosen.
  config.rounds.human_rows = "task_pairs:16?seed=1"
  return config
