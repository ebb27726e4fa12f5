# SPDX-License-Identifier: Apache-2.0
"""A regression model of ratings (HelpSteer2, arXiv 2406.08673), tiny.

    ramjax train --config=configs/reward_regression_tiny.py \
        --workdir=runs/reward_regression \
        --config.data.sources.main.path=rated.jsonl

A row: {"prompt": ..., "response": ..., "helpfulness": 3, ...}. A rating is 0
to 4, or null. 20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(base.reward(regression=dict(weight=1.0)))
  config.data.sources.main = base.source("rated.jsonl", eval_rows=64)
  config.reward.num_labels = 5
  config.reward.attributes = (
    "helpfulness",
    "correctness",
    "coherence",
    "complexity",
    "verbosity",
  )
  return config
