# SPDX-License-Identifier: Apache-2.0
"""A Bradley-Terry reward model, scaled by margins, at tiny size.

HelpSteer2-Preference, arXiv 2410.01257.

    ramjax train --config=configs/reward_scaled_tiny.py \
        --workdir=runs/reward_scaled \
        --config.data.sources.main.path=graded_pairs.jsonl

A row: {"prompt": ..., "chosen": ..., "rejected": ..., "margin": 2}. A margin
of 0 trains nothing. 20 updates from random weights, to see that it runs: not
yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  config = sizes.tiny(
    base.reward(
      bradley_terry=dict(
        weight=1.0, margin="scale", label_smoothing=0.0, centering=0.0
      )
    )
  )
  config.data.sources.main = base.source("graded_pairs.jsonl", eval_rows=64)
  return config
