# SPDX-License-Identifier: Apache-2.0
"""Expert iteration (AlpacaFarm, arXiv 2305.14387), tiny.

    ramjax train --config=configs/expert_iteration_tiny.py \
        --workdir=runs/expert_iteration

The best of 4 answers to each prompt is imitated, each round by the first model
anew. Two rounds of 10 updates from random weights on one CPU core or more, to
see that it runs; the reward is for a digit: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(base.sft(), select=dict(name="best"))
  config.rounds.start = "first"
  config.rounds.replay = 1
  return config
