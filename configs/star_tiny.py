# SPDX-License-Identifier: Apache-2.0
"""STaR (Zelikman et al., arXiv 2203.14465), tiny.

    ramjax train --config=configs/star_tiny.py --workdir=runs/star

Answers that score 1 are imitated, by the first model anew in every round;
without rationalisation. Two rounds of 10 updates from random weights on one CPU
core or more, to see that it runs; the reward is for a digit: not yet run
"""

from ramjax.configs import base, round_sizes


def get_config():
  """The smallest run of the method."""
  config = round_sizes.tiny(
    base.sft(), select=dict(name="correct", threshold=1.0, most=1)
  )
  config.rounds.start = "first"
  return config
