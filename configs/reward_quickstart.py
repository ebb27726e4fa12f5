# SPDX-License-Identifier: Apache-2.0
"""A reward model on the quickstart's tasks: right answers against wrong ones.

    ramjax train --config=configs/reward_quickstart.py \
        --workdir=runs/quickstart-reward

Starts from the model in `runs/quickstart`. 18 s on two CPU cores: held-out pairs
told apart 66 % (95 % interval 60 to 72).
"""

from ramjax.configs import base, sizes


def get_config():
  """Bradley-Terry, with the scores held near 0."""
  config = base.reward(
    bradley_terry=dict(
      weight=1.0, margin="none", label_smoothing=0.0, centering=0.01
    )
  )
  return sizes.quickstart_stage(config)
