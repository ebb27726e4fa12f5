# SPDX-License-Identifier: Apache-2.0
"""A reward model of ordered grades, at tiny size.

CORAL, Cao et al., arXiv 1901.07884.

    ramjax train --config=configs/reward_ordinal_tiny.py \
        --workdir=runs/reward_ordinal \
        --config.data.sources.main.path=rated.jsonl

A row: {"prompt": ..., "response": ..., "helpfulness": 3}. Grades 0 to 4 have
four thresholds. 20 updates from random weights, to see that it runs: not yet
run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(base.reward(ordinal=dict(weight=1.0)))
  config.data.sources.main = base.source("rated.jsonl", eval_rows=64)
  config.reward.num_labels = 4
  config.reward.attributes = ("helpfulness",)
  return config
