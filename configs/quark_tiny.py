# SPDX-License-Identifier: Apache-2.0
"""Quark, in part (Lu et al., arXiv 2205.13635), tiny.

    ramjax train --config=configs/quark_tiny.py --workdir=runs/quark

Answers of all rounds are sorted into quantiles and learned under a phrase that
names theirs; later rounds ask for the best. Without Quark's KL penalty and
entropy bonus. Two rounds of 10 updates from random weights on one CPU core or
more, to see that it runs; the reward is for a digit: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    base.sft(), select=dict(name="quantiles", num_quantiles=4)
  )
  config.rounds.replay = config.rounds.num_rounds
  return config
