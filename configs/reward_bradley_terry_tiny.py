# SPDX-License-Identifier: Apache-2.0
"""A Bradley-Terry reward model (InstructGPT, arXiv 2203.02155), tiny.

    ramjax train --config=configs/reward_bradley_terry_tiny.py \
        --workdir=runs/reward_bradley_terry

20 updates from random weights, to see that it runs: not yet run
"""

from ramjax.configs import base, sizes


def get_config():
  """The smallest run of the method."""
  return sizes.tiny(
    base.reward(
      bradley_terry=dict(
        weight=1.0, margin="none", label_smoothing=0.0, centering=0.0
      )
    )
  )
