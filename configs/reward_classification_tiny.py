# SPDX-License-Identifier: Apache-2.0
"""A classifier of answers (cross-entropy over classes; no paper), tiny.

    ramjax train --config=configs/reward_classification_tiny.py \
        --workdir=runs/reward_classification \
        --config.data.sources.main.path=rated.jsonl

A row: {"prompt": ..., "response": ..., "helpfulness": 3}: a class of 0 to 4.
20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(
    base.reward(classification=dict(weight=1.0, label_smoothing=0.0))
  )
  config.data.sources.main = base.source("rated.jsonl", eval_rows=64)
  config.reward.num_labels = 5
  config.reward.attributes = ("helpfulness",)
  return config
