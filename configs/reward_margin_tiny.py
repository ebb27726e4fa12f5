# SPDX-License-Identifier: Apache-2.0
"""A reward model that keeps margins (Llama 2, arXiv 2307.09288), tiny.

    ramjax train --config=configs/reward_margin_tiny.py \
        --workdir=runs/reward_margin \
        --config.data.sources.main.path=graded_pairs.jsonl

A row: {"prompt": ..., "chosen": ..., "rejected": ..., "margin": 2}. 20 updates
from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(
    base.reward(
      bradley_terry=dict(
        weight=1.0, margin="subtract", label_smoothing=0.0, centering=0.0
      )
    )
  )
  config.data.sources.main = base.source("graded_pairs.jsonl", eval_rows=64)
  return config
