# SPDX-License-Identifier: Apache-2.0
"""A reward model of K-wise rankings, at tiny size.

Starling; Zhu et al., arXiv 2301.11270.

    ramjax train --config=configs/reward_plackett_luce_tiny.py \
        --workdir=runs/reward_plackett_luce \
        --config.data.sources.main.path=ranked.jsonl

A row: {"prompt": ..., "completions": [...]}, the best answer first, or with
"scores", one for each. 20 updates from random weights, to see that it runs:
not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(base.reward(plackett_luce=dict(weight=1.0)))
  config.data.sources.main = base.source("ranked.jsonl", eval_rows=64)
  return config
